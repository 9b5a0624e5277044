//! Handlers: what is to be done whenever something has happened, remembering nothing.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use uuid::Uuid;

use super::options::HandlerOptions;
use crate::app::Dispatch;
use crate::event::as_stored;
use crate::panics::panic_message;
use crate::projection::{ProjectError, Projector, ReadStore};
use crate::{App, Command, Event, Metadata, Position, Recorded};

/// Why a handler failed.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Under which the ids of commands are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x3c5d_40a1_9a37_4c53_8d0e_f2b6_0f8e_11c4);

/// A policy: when this has happened, that is to be done. It remembers nothing; what has to be
/// remembered between events is a [`ProcessManager`](super::ProcessManager).
///
/// Events are handled in order, those of one key one behind the other, each at least once: after a
/// crash the ones under way are handled again. Commands sent through the [`HandlerContext`] have
/// ids derived from the event, so they take effect once. Other effects, an e-mail or a call, are
/// told apart by the event's id: give it along as the idempotency key.
///
/// A handler that fails or panics is tried again with growing pauses, then the event is put aside
/// with the later ones of its key, for an operator; see [`HandlerOptions`].
///
/// ```
/// # use cqrs_core::{*, aggregate::*, app::*, event::*, process::*, projection::*, repository::*, store::*, subscription::*, upcast::*};
/// # #[derive(Default)] struct Flags;
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Flag { account: String }
/// # struct Withdrawn { cents: i64 }
/// # impl Event for Withdrawn {
/// #     const TYPES: &'static [EventType] = &[EventType::new("bank.withdrawn", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&self.cents) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(Self { cents: p.decode()? }) }
/// # }
/// # #[derive(Debug, thiserror::Error)] #[error("no")] struct No;
/// # impl Command for Flag { type Aggregate = Flags; fn aggregate_id(&self) -> String { self.account.clone() } }
/// # impl Aggregate for Flags {
/// #     const CATEGORY: &'static str = "flags";
/// #     type Id = String; type Command = Flag; type Event = Withdrawn; type Error = No;
/// #     fn execute(&self, _: Flag) -> Result<Vec<Withdrawn>, No> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Withdrawn) {}
/// # }
/// struct FlagLargeWithdrawals;
///
/// #[async_trait]
/// impl EventHandler for FlagLargeWithdrawals {
///     type Event = Withdrawn;
///     const NAME: &'static str = "flag_large_withdrawals";
///
///     async fn handle(
///         &self,
///         event: &Recorded<Withdrawn>,
///         context: &mut HandlerContext<'_>,
///     ) -> Result<(), HandlerError> {
///         if event.event.cents > 1_000_000 {
///             context.dispatch(Flag { account: event.stream.to_string() }).await?;
///         }
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler",
    note = "implement `EventHandler`: `handle`"
)]
pub trait EventHandler: Send + Sync + 'static {
    /// The events it looks at, of one or several aggregates. The store passes over all others.
    type Event: Event;

    /// Under which it is remembered how far it has got: 1 to 32 lower-case letters, digits and
    /// underscores, a letter first. Another name begins anew.
    const NAME: &'static str;

    /// Whether [`key`](Self::key) says what belongs together. Otherwise it is the stream.
    const KEYED: bool = false;

    /// Does what is to be done about an event.
    ///
    /// # Errors
    /// Whatever went wrong; it is tried again as the options say.
    async fn handle(
        &self,
        event: &Recorded<Self::Event>,
        context: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError>;

    /// What the event is about, if [`KEYED`](Self::KEYED): events of one key are handled in order,
    /// and wait when one before them was put aside.
    fn key<'e>(&self, event: &'e Recorded<Self::Event>) -> Cow<'e, str> {
        Cow::Borrowed(event.stream.as_str())
    }
}

/// What a handler can do besides its own effects.
#[derive(Debug)]
pub struct HandlerContext<'a> {
    app: &'a App,
    handler: &'static str,
    /// Tells the event from all others.
    seed: String,
    /// How commands continue the conversation.
    metadata: Metadata,
    sent: u32,
}

impl HandlerContext<'_> {
    /// A command because of the event, to be awaited. Its id is derived from the handler, the
    /// event and how many commands were sent before it, so that it takes effect once however often
    /// the event is handled: send the same ones in the same order each time.
    pub fn dispatch<C: Command>(&mut self, command: C) -> Dispatch<C> {
        let name = format!("{}\0{}\0{}", self.handler, self.seed, self.sent);
        self.sent += 1;
        let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
        self.app.dispatch(command).command_id(id).metadata(self.metadata.clone())
    }

    /// The application, for looking something up.
    #[must_use]
    pub const fn app(&self) -> &App {
        self.app
    }
}

/// A handler as a consumer of the log: it does its work before the transaction that moves the
/// checkpoint begins.
pub(super) struct HandlerProjector<H> {
    pub(super) handler: H,
    pub(super) app: App,
    pub(super) options: HandlerOptions,
    /// Handled, with a checkpoint that does not know it yet.
    pub(super) handled: Mutex<HashSet<Position>>,
}

impl<H: EventHandler> HandlerProjector<H> {
    fn handled(&self) -> MutexGuard<'_, HashSet<Position>> {
        // Nothing panics under it.
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was stored as one event.
    async fn handle_parts(&self, parts: &[Recorded<H::Event>]) -> Result<(), HandlerError> {
        let Some(first) = parts.first() else { return Ok(()) };
        if self.handled().contains(&first.position) {
            return Ok(());
        }
        for (nth, event) in parts.iter().enumerate() {
            let mut metadata = Metadata::default()
                .with_causation_id(event.id)
                .with_actor(format!("handler:{}", H::NAME));
            metadata.correlation_id = event.metadata.correlation_id;
            let mut context = HandlerContext {
                app: &self.app,
                handler: H::NAME,
                seed: format!("{}.{nth}", event.position),
                metadata,
                sent: 0,
            };
            let call = AssertUnwindSafe(self.handler.handle(event, &mut context));
            call.catch_unwind().await.unwrap_or_else(|panic| {
                Err(format!("panicked: {}", panic_message(&*panic)).into())
            })?;
        }
        self.handled().insert(first.position);
        Ok(())
    }

    /// The events of one key, until one fails.
    async fn handle_key(&self, events: Vec<&[Recorded<H::Event>]>) -> Result<(), HandlerError> {
        for parts in events {
            self.handle_parts(parts).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl<S: ReadStore, H: EventHandler> Projector<S> for HandlerProjector<H> {
    type Event = H::Event;
    const NAME: &'static str = H::NAME;
    // What was done is not done anew.
    const VERSION: u32 = 1;
    const KEYED: bool = H::KEYED;

    async fn create(&self, _: &mut S::Transaction) -> Result<(), ProjectError> {
        Ok(())
    }

    async fn prepare(&self, events: &[Recorded<H::Event>]) -> Result<(), ProjectError> {
        if let Some(first) = events.first() {
            // What is in front of them is committed.
            self.handled().retain(|position| *position >= first.position);
        }
        let mut keys: Vec<(Cow<'_, str>, Vec<&[Recorded<H::Event>]>)> = Vec::new();
        for parts in as_stored(events) {
            let Some(first) = parts.first() else { continue };
            let key = Projector::<S>::key(self, first);
            match keys.iter_mut().find(|(known, _)| *known == key) {
                Some((_, events)) => events.push(parts),
                None => keys.push((key, vec![parts])),
            }
        }
        // All come to their end, so that none is cut off by the failure of another.
        let mut works: Vec<BoxFuture<'_, Result<(), HandlerError>>> = Vec::new();
        for (_, events) in keys {
            works.push(self.handle_key(events).boxed());
        }
        let works = stream::iter(works).buffer_unordered(self.options.concurrency);
        let ended: Vec<Result<(), HandlerError>> = works.collect().await;
        ended.into_iter().collect()
    }

    async fn project(
        &self,
        _: &mut S::Transaction,
        _: &Recorded<H::Event>,
    ) -> Result<(), ProjectError> {
        Ok(())
    }

    fn key<'e>(&self, event: &'e Recorded<H::Event>) -> Cow<'e, str> {
        if H::KEYED { self.handler.key(event) } else { Cow::Borrowed(event.stream.as_str()) }
    }
}

/// A handler that is shared.
#[async_trait]
impl<H: EventHandler> EventHandler for Arc<H> {
    type Event = H::Event;
    const NAME: &'static str = H::NAME;
    const KEYED: bool = H::KEYED;

    async fn handle(
        &self,
        event: &Recorded<H::Event>,
        context: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        (**self).handle(event, context).await
    }

    fn key<'e>(&self, event: &'e Recorded<H::Event>) -> Cow<'e, str> {
        (**self).key(event)
    }
}
