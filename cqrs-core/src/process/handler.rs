//! Event handlers: reactions to events without state of their own.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use uuid::Uuid;

use super::effects::Effects;
use super::options::HandlerOptions;
use crate::app::Dispatch;
use crate::event::as_stored;
use crate::panics::panic_message;
use crate::projection::{Key, ProjectError, Projector, ReadModel, ReadStore};
use crate::{App, Command, Event, Metadata, Position, Recorded};

/// The error of a handler: any error type, or a string.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// The namespace of derived command ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x3c5d_40a1_9a37_4c53_8d0e_f2b6_0f8e_11c4);

/// A policy: reacts to each event with commands or with calls to other systems. Run it with
/// [`Processes`](super::Processes).
///
/// A handler stores no state. For a reaction that must remember something between events, use a
/// [`ProcessManager`](super::ProcessManager).
///
/// The events of one key are handled in log order, each at least once: events that were being
/// handled during a crash are handled again. Commands sent through the [`HandlerContext`] still
/// take effect once, because their ids are derived from the event. For other effects, such as an
/// e-mail or a payment, pass on the event's id as the idempotency key.
///
/// A handler that returns an error or panics is retried with growing pauses. After that, the event
/// is parked together with the later events of its key until an operator retries it; see
/// [`HandlerOptions`].
///
/// ```
/// # use cqrs_core::{*, event::*};
/// # #[derive(Default)] struct Flags;
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Flag { account: String }
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum BankEvent { Withdrawn { cents: i64 }, Flagged }
/// # impl Event for BankEvent {
/// #     const TYPES: &'static [EventType] = &[EventType::new("bank.withdrawn", 1), EventType::new("bank.flagged", 1)];
/// #     fn event_type(&self) -> EventType { match self { Self::Withdrawn { .. } => Self::TYPES[0], Self::Flagged => Self::TYPES[1] } }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(self) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(p.decode()?) }
/// # }
/// # impl Command for Flag { type Aggregate = Flags; fn aggregate_id(&self) -> String { self.account.clone() } }
/// # impl Aggregate for Flags {
/// #     const CATEGORY: &'static str = "flags";
/// #     type Id = String; type Command = Flag; type Event = BankEvent; type Error = std::fmt::Error;
/// #     fn execute(&self, _: Flag) -> Result<Vec<BankEvent>, std::fmt::Error> { Ok(vec![BankEvent::Flagged]) }
/// #     fn apply(&mut self, _: &BankEvent) {}
/// # }
/// use cqrs_core::process::{HandlerContext, HandlerError};
///
/// struct FlagLargeWithdrawals;
///
/// impl EventHandler for FlagLargeWithdrawals {
///     type Event = BankEvent;
///     const NAME: &'static str = "flag_large_withdrawals";
///
///     async fn handle(
///         &self,
///         event: &Recorded<BankEvent>,
///         context: &mut HandlerContext<'_>,
///     ) -> Result<(), HandlerError> {
///         match event.event {
///             BankEvent::Withdrawn { cents } if cents > 1_000_000 => {
///                 context.dispatch(Flag { account: event.stream.to_string() }).await?;
///                 Ok(())
///             }
///             _ => Ok(()),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cqrs_core::subscription::SubscriptionOptions;
/// # use cqrs_memory::{MemoryReadStore, MemoryStore};
/// let app = App::new(MemoryStore::new());
/// let processes = Processes::builder(&app, MemoryReadStore::new())
///     .handler(FlagLargeWithdrawals)
///     .start()
///     .await?;
/// # let (stream, any) = (StreamName::new("account-7")?, ExpectedVersion::Any);
/// # let withdrawn = BankEvent::Withdrawn { cents: 2_000_000 };
/// # app.store().append_events(&stream, any, &[withdrawn]).await?;
///
/// // After a large withdrawal:
/// let mut events = app.store().subscribe(SubscriptionOptions::all()).await?;
/// assert_eq!(events.next().await.unwrap()?.stream.as_str(), "account-7");
/// assert_eq!(events.next().await.unwrap()?.stream.as_str(), "flags-account-7");
/// processes.stop().await;
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler",
    note = "implement `EventHandler`: `handle`"
)]
pub trait EventHandler: Send + Sync + 'static {
    /// The events to handle, of one or several aggregates. Other events are not read.
    type Event: Event;

    /// The name under which the handler's checkpoint is stored: 1 to 32 lower-case letters, digits
    /// and underscores, starting with a letter. A handler with a new name starts from the
    /// beginning; see [`HandlerOptions::start`].
    const NAME: &'static str;

    /// Handles an event.
    ///
    /// # Errors
    /// Returns any error. The event is then handled again, or parked, according to the
    /// [`HandlerOptions`].
    fn handle(
        &self,
        event: &Recorded<Self::Event>,
        context: &mut HandlerContext<'_>,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Returns how to derive the key of an event. Events with the same key are handled in order and
    /// parked together. Default: [`Key::stream`].
    fn key(&self) -> Key<Self::Event> {
        Key::stream()
    }
}

/// Sends the commands of an [`EventHandler`].
#[derive(Debug)]
pub struct HandlerContext<'a> {
    app: &'a App,
    handler: &'static str,
    /// Unique to the event.
    seed: String,
    /// The metadata of every command.
    metadata: Metadata,
    sent: u32,
    /// Records the commands instead of sending them, in tests.
    recorded: Option<&'a mut Effects>,
}

impl<'a> HandlerContext<'a> {
    /// Returns a context that records the commands instead of sending them.
    pub(super) fn recording(app: &'a App, handler: &'static str, into: &'a mut Effects) -> Self {
        let (seed, metadata) = (String::new(), Metadata::default());
        Self { app, handler, seed, metadata, sent: 0, recorded: Some(into) }
    }
}

impl HandlerContext<'_> {
    /// Dispatches a command, as [`App::dispatch`] does: await the result. The command's metadata
    /// contains the event as its cause, the event's correlation id, `handler:` and the handler's
    /// name as the actor, and the headers that the application
    /// [propagates](crate::app::AppBuilder::propagate).
    ///
    /// Its id is derived from the handler, the event and the number of commands sent before it, so
    /// it takes effect once even if the event is handled again. This requires that the handler
    /// sends the same commands in the same order each time.
    pub fn dispatch<C: Command>(&mut self, command: C) -> Dispatch<C> {
        if let Some(recorded) = &mut self.recorded {
            let id = command.aggregate_id();
            **recorded = std::mem::take(*recorded).dispatch(command);
            return Dispatch::unsent(self.app.clone(), &id);
        }
        let name = format!("{}\0{}\0{}", self.handler, self.seed, self.sent);
        self.sent += 1;
        let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
        self.app.dispatch(command).command_id(id).metadata(self.metadata.clone())
    }

    /// Returns the application, for example to load an aggregate.
    #[must_use]
    pub const fn app(&self) -> &App {
        self.app
    }
}

/// The parts of one stored event.
type Parts<'e, E> = &'e [Recorded<E>];

/// A key and its events, in order.
type Keyed<'e, E> = (Cow<'e, str>, Vec<Parts<'e, E>>);

/// Runs a handler as a projector that handles its events before the transaction that moves the
/// checkpoint begins.
pub(super) struct HandlerProjector<H> {
    pub(super) handler: H,
    pub(super) app: App,
    pub(super) options: HandlerOptions,
    /// The positions of handled events that the checkpoint does not include yet.
    pub(super) handled: Mutex<HashSet<Position>>,
}

impl<H: EventHandler> HandlerProjector<H> {
    fn handled(&self) -> MutexGuard<'_, HashSet<Position>> {
        // No code panics while holding the lock.
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles the parts of one stored event.
    async fn handle_parts(&self, parts: Parts<'_, H::Event>) -> Result<(), HandlerError> {
        let Some(first) = parts.first() else { return Ok(()) };
        if self.handled().contains(&first.position) {
            return Ok(());
        }
        for (nth, event) in parts.iter().enumerate() {
            let mut metadata = Metadata::default()
                .with_causation_id(event.id)
                .with_actor(format!("handler:{}", H::NAME));
            metadata.correlation_id = event.metadata.correlation_id;
            metadata.headers = self.app.propagated(&event.metadata);
            let mut context = HandlerContext {
                app: &self.app,
                handler: H::NAME,
                seed: format!("{}.{nth}", event.position),
                metadata,
                sent: 0,
                recorded: None,
            };
            let call = AssertUnwindSafe(self.handler.handle(event, &mut context));
            call.catch_unwind().await.unwrap_or_else(|panic| {
                Err(format!("panicked: {}", panic_message(&*panic)).into())
            })?;
        }
        self.handled().insert(first.position);
        Ok(())
    }

    /// Handles the events of one key in order, until one fails.
    async fn handle_key(&self, events: Vec<Parts<'_, H::Event>>) -> Result<(), HandlerError> {
        for parts in events {
            self.handle_parts(parts).await?;
        }
        Ok(())
    }
}

impl<H: EventHandler> ReadModel for HandlerProjector<H> {
    type Event = H::Event;
    const NAME: &'static str = H::NAME;
    // A handler is never rebuilt.
    const VERSION: u32 = 1;

    fn key(&self) -> Key<H::Event> {
        self.handler.key()
    }
}

impl<S: ReadStore, H: EventHandler> Projector<S> for HandlerProjector<H> {
    async fn create(&self, _: &mut S::Transaction) -> Result<(), ProjectError> {
        Ok(())
    }

    async fn prepare(&self, events: &[Recorded<H::Event>]) -> Result<(), ProjectError> {
        if let Some(first) = events.first() {
            // Earlier positions are included in the checkpoint.
            self.handled().retain(|position| *position >= first.position);
        }
        let key_of = self.handler.key();
        let mut keys: Vec<Keyed<'_, H::Event>> = Vec::new();
        for parts in as_stored(events) {
            let Some(first) = parts.first() else { continue };
            let key = key_of.of(first);
            match keys.iter_mut().find(|(known, _)| *known == key) {
                Some((_, events)) => events.push(parts),
                None => keys.push((key, vec![parts])),
            }
        }
        // Runs all keys to completion, so that a failure does not cancel the work of another key.
        let mut works: Vec<BoxFuture<'_, Result<(), HandlerError>>> = Vec::new();
        for (_, events) in keys {
            works.push(self.handle_key(events).boxed());
        }
        let works = stream::iter(works).buffer_unordered(self.options.concurrency);
        let results: Vec<Result<(), HandlerError>> = works.collect().await;
        results.into_iter().collect()
    }

    async fn project(
        &self,
        _: &mut S::Transaction,
        _: &Recorded<H::Event>,
    ) -> Result<(), ProjectError> {
        Ok(())
    }
}

impl<H: EventHandler> EventHandler for Arc<H> {
    type Event = H::Event;
    const NAME: &'static str = H::NAME;

    async fn handle(
        &self,
        event: &Recorded<H::Event>,
        context: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        (**self).handle(event, context).await
    }

    fn key(&self) -> Key<H::Event> {
        (**self).key()
    }
}
