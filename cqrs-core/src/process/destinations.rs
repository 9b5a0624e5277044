//! Where the commands of a process go.

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
use crate::{
    Aggregate, App, Append, Command, CommandKey, DispatchError, ExpectedVersion, Metadata, Payload,
    Retry, StreamName,
};

/// The aggregates that a process sends commands to, so that a command read back from the store
/// finds its way.
#[derive(Clone, Default)]
pub struct Destinations {
    known: BTreeMap<&'static str, Arc<dyn Destination>>,
}

impl Destinations {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    #[must_use]
    pub fn to<A: Aggregate>(mut self) -> Self
    where
        A::Command: Command<Aggregate = A>,
    {
        self.known.insert(A::CATEGORY, Arc::new(To::<A>(PhantomData)));
        self
    }

    pub(super) fn has(&self, category: &str) -> bool {
        self.known.contains_key(category)
    }

    /// Sends a command, which most probably was never sent before if it `is_new`. `Ok` when it is
    /// accepted, now or before.
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

    /// Takes a command back. `Ok` when it has taken effect before.
    pub(super) async fn revoke(&self, app: &App, command: &OutgoingCommand) -> Result<(), Unsent> {
        self.find(command)?.revoke(app, command).await
    }

    fn find(&self, command: &OutgoingCommand) -> Result<&dyn Destination, Unsent> {
        match self.known.get(&*command.category) {
            Some(destination) => Ok(&**destination),
            None => {
                Err(Unsent::fails(format!("`{}` is not among the destinations", command.category)))
            }
        }
    }
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

/// Why a command did not take effect.
pub(super) enum Unsent {
    /// It never will.
    Rejected(Rejection),
    /// Nobody knows whether it would.
    Failed { reason: String, retry: Retry },
}

impl Unsent {
    /// User code panicked outside of a decision.
    pub(super) fn panicked(message: &str) -> Self {
        Self::fails(format!("panicked: {message}"))
    }

    /// In a way that asking again does not mend.
    fn fails(reason: String) -> Self {
        Self::Failed { reason, retry: Retry::Never }
    }
}

#[async_trait]
trait Destination: Send + Sync {
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
    async fn send(
        &self,
        app: &App,
        actor: &str,
        outgoing: &OutgoingCommand,
        deadline: Duration,
        is_new: bool,
    ) -> Result<(), Unsent> {
        let command = read::<A>(outgoing)?;
        let mut metadata =
            Metadata::default().with_causation_id(outgoing.causation_id).with_actor(actor);
        metadata.correlation_id = outgoing.correlation_id;
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

    /// Takes the command's id, so that nobody can use it any more, unless it was used before. What
    /// is recorded under it tells the two apart: commands belong to the stream of an aggregate.
    async fn revoke(&self, app: &App, outgoing: &OutgoingCommand) -> Result<(), Unsent> {
        let command = read::<A>(outgoing)?;
        let invalid = |error: &dyn std::fmt::Display| Unsent::fails(error.to_string());
        let stream = stream_of::<A>(&command.aggregate_id())
            .map_err(|error| Unsent::fails(error_chain(&error)))?;
        let content = Payload::encode(&command).map_err(|error| invalid(&error))?;
        let key = CommandKey::new(outgoing.id, &stream, &content);
        let nowhere = StreamName::new("cqrs-revoked").map_err(|error| invalid(&error))?;
        let append = Append::to(nowhere.clone(), ExpectedVersion::Any, Vec::new());
        match app.store().append(append.with_command(key)).await {
            Ok(appended) if appended.streams.iter().any(|part| part.stream == nowhere) => {
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

fn read<A: Aggregate>(outgoing: &OutgoingCommand) -> Result<A::Command, Unsent> {
    let command = outgoing.command.decode();
    command.map_err(|error| Unsent::fails(format!("the command cannot be read: {error}")))
}
