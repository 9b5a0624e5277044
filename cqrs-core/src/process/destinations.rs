//! The aggregates that a process sends commands to.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::effects::Rejection;
use super::records::OutgoingCommand;
use crate::app::stream_of;
use crate::failures::error_chain;
use crate::projection::StartError;
use crate::{
    Aggregate, App, Append, Command, CommandKey, DispatchError, ExpectedVersion, InvalidUpcasters,
    Metadata, Payload, Retry, StreamName,
};

/// The aggregates that the commands of a process, or scheduled commands, may be sent to. A stored
/// command is matched to its aggregate by these.
///
/// Checked by [`ProcessesBuilder::start`](super::ProcessesBuilder::start): there must be at least
/// one aggregate, no two with the same category, and no upcaster missing for their events.
///
/// ```
/// # use cqrs_core::{*, event::*};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ship { order: String }
/// # #[derive(Default)] struct Shop;
/// # struct Shipped;
/// # impl Event for Shipped {
/// #     const TYPES: &'static [EventType] = &[EventType::new("shop.shipped", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&()) }
/// #     fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> { Ok(Self) }
/// # }
/// # impl Command for Ship { type Aggregate = Shop; fn aggregate_id(&self) -> String { self.order.clone() } }
/// # impl Aggregate for Shop {
/// #     const CATEGORY: &'static str = "shop";
/// #     type Id = String; type Command = Ship; type Event = Shipped; type Error = std::fmt::Error;
/// #     fn execute(&self, _: Ship) -> Result<Vec<Shipped>, std::fmt::Error> { Ok(vec![Shipped]) }
/// #     fn apply(&mut self, _: &Shipped) {}
/// # }
/// use cqrs_core::process::Destinations;
///
/// let destinations = Destinations::new().to::<Shop>();
/// assert_eq!(format!("{destinations:?}"), r#"{"shop"}"#);
/// ```
#[derive(Clone, Default)]
pub struct Destinations {
    known: BTreeMap<&'static str, Arc<dyn Destination>>,
    /// The category of two different aggregates.
    duplicate: Option<&'static str>,
    none: bool,
}

/// Why a process cannot start with its destinations.
pub(super) enum InvalidDestinations {
    Empty,
    Duplicate { category: &'static str },
    Upcasters { category: &'static str, source: InvalidUpcasters },
}

impl InvalidDestinations {
    pub(super) fn of(self, process: &str) -> StartError {
        let process = process.to_owned();
        match self {
            Self::Empty => StartError::NoDestinations { process },
            Self::Duplicate { category } => StartError::DuplicateDestination { process, category },
            Self::Upcasters { category, source } => {
                StartError::DestinationUpcasters { process, category, source }
            }
        }
    }
}

impl Destinations {
    /// Creates an empty list, to be filled with [`to`](Self::to). A process that sends no commands
    /// returns [`none`](Self::none).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares that no commands are sent. The process can still start timers.
    #[must_use]
    pub fn none() -> Self {
        Self { none: true, ..Self::default() }
    }

    /// Adds an aggregate.
    #[must_use]
    pub fn to<A: Aggregate>(mut self) -> Self
    where
        A::Command: Command<Aggregate = A>,
    {
        let known = self.known.insert(A::CATEGORY, Arc::new(To::<A>(PhantomData)));
        if known.is_some_and(|known| known.aggregate() != TypeId::of::<A>()) {
            self.duplicate = Some(A::CATEGORY);
        }
        self
    }

    pub(super) fn check(&self, app: &App) -> Result<(), InvalidDestinations> {
        if self.known.is_empty() && !self.none {
            return Err(InvalidDestinations::Empty);
        }
        if let Some(category) = self.duplicate {
            return Err(InvalidDestinations::Duplicate { category });
        }
        for (category, destination) in &self.known {
            destination
                .check(app)
                .map_err(|source| InvalidDestinations::Upcasters { category, source })?;
        }
        Ok(())
    }

    pub(super) fn has(&self, category: &str) -> bool {
        self.known.contains_key(category)
    }

    /// Sends a command. `is_new` means that it was most probably never sent before. Returns `Ok` if
    /// the command is accepted, now or earlier.
    pub(super) async fn send(
        &self,
        app: &App,
        actor: &str,
        command: &OutgoingCommand,
        deadline: Duration,
        is_new: bool,
    ) -> Result<(), Unsent> {
        self.find(command)?.send(app, actor, command, deadline, is_new).await
    }

    /// Revokes a command. Returns `Ok` if it took effect before.
    pub(super) async fn revoke(&self, app: &App, command: &OutgoingCommand) -> Result<(), Unsent> {
        self.find(command)?.revoke(app, command).await
    }

    fn find(&self, command: &OutgoingCommand) -> Result<&dyn Destination, Unsent> {
        match self.known.get(&*command.category) {
            Some(destination) => Ok(&**destination),
            None => Err(Unsent::fails(undeclared(&command.category))),
        }
    }
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

/// The reason to suspend an instance that sends a command to an undeclared aggregate.
pub(super) fn undeclared(category: &str) -> String {
    format!("aggregate `{category}` is not among the destinations; add it in `destinations()`")
}

/// Why a command was not accepted.
pub(super) enum Unsent {
    /// It will never take effect.
    Rejected(Rejection),
    /// It may or may not have taken effect.
    Failed { reason: String, retry: Retry },
}

impl Unsent {
    /// User code panicked outside of a decision.
    pub(super) fn panicked(message: &str) -> Self {
        Self::fails(format!("panicked: {message}"))
    }

    /// A failure that a retry cannot fix.
    fn fails(reason: String) -> Self {
        Self::Failed { reason, retry: Retry::Never }
    }
}

#[async_trait]
trait Destination: Send + Sync {
    fn aggregate(&self) -> TypeId;

    fn check(&self, app: &App) -> Result<(), InvalidUpcasters>;

    async fn send(
        &self,
        app: &App,
        actor: &str,
        command: &OutgoingCommand,
        deadline: Duration,
        is_new: bool,
    ) -> Result<(), Unsent>;

    async fn revoke(&self, app: &App, command: &OutgoingCommand) -> Result<(), Unsent>;
}

struct To<A>(PhantomData<fn() -> A>);

#[async_trait]
impl<A: Aggregate> Destination for To<A>
where
    A::Command: Command<Aggregate = A>,
{
    fn aggregate(&self) -> TypeId {
        TypeId::of::<A>()
    }

    fn check(&self, app: &App) -> Result<(), InvalidUpcasters> {
        app.repository::<A>().map(drop)
    }

    async fn send(
        &self,
        app: &App,
        actor: &str,
        outgoing: &OutgoingCommand,
        deadline: Duration,
        is_new: bool,
    ) -> Result<(), Unsent> {
        let command = decode::<A>(outgoing)?;
        let mut metadata = Metadata::default()
            .with_causation_id(outgoing.causation_id)
            .with_actor(outgoing.actor.as_deref().unwrap_or(actor));
        metadata.correlation_id = outgoing.correlation_id;
        metadata.headers.clone_from(&outgoing.headers);
        let dispatch = app.dispatch(command).command_id(outgoing.id).metadata(metadata);
        match dispatch.probably_new(is_new).deadline(deadline).await {
            Ok(_) => Ok(()),
            Err(DispatchError::Rejected(error)) => {
                Err(Unsent::Rejected(Rejection::Error(Arc::new(error))))
            }
            Err(DispatchError::Reservation(error)) => {
                Err(Unsent::Rejected(Rejection::Error(Arc::new(error))))
            }
            Err(DispatchError::Denied(denial)) => {
                Err(Unsent::Rejected(Rejection::Denied(denial.reason)))
            }
            Err(error) => {
                let retry = error.retry();
                Err(Unsent::Failed { reason: error_chain(&error), retry })
            }
        }
    }

    /// Uses up the command's id, so that the command can no longer take effect, unless the id was
    /// used before. The stream recorded under the id distinguishes the two: commands are recorded
    /// under the stream of an aggregate.
    async fn revoke(&self, app: &App, outgoing: &OutgoingCommand) -> Result<(), Unsent> {
        let command = decode::<A>(outgoing)?;
        let invalid = |error: &(dyn std::error::Error + 'static)| Unsent::fails(error_chain(error));
        let stream = stream_of::<A>(&command.aggregate_id()).map_err(|error| invalid(&error))?;
        let content = Payload::encode(&command).map_err(|error| invalid(&error))?;
        let key = CommandKey::new(outgoing.id, &stream, &content);
        let revoked = StreamName::new("cqrs-revoked").map_err(|error| invalid(&error))?;
        let append = Append::to(revoked.clone(), ExpectedVersion::Any, Vec::new());
        match app.store().append(append.with_command(key)).await {
            Ok(appended) if appended.streams.iter().any(|part| part.stream == revoked) => {
                Err(Unsent::Rejected(Rejection::Revoked))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let retry = error.retry();
                Err(Unsent::Failed { reason: error_chain(&error), retry })
            }
        }
    }
}

fn decode<A: Aggregate>(outgoing: &OutgoingCommand) -> Result<A::Command, Unsent> {
    let command = outgoing.command.decode();
    command.map_err(|error| {
        let category = &outgoing.category;
        Unsent::fails(format!("the command to `{category}` cannot be decoded: {error}"))
    })
}
