//! What a projector is.

use std::borrow::Cow;

use async_trait::async_trait;

use super::ReadStore;
use crate::{Event, Recorded};

/// Why a projector could not take an event in: any error, also text.
pub type ProjectError = Box<dyn std::error::Error + Send + Sync>;

/// Builds a read model from events, in tables of its own.
///
/// The runtime hands the events over in the order of the log, in a transaction of the read store
/// that also moves the projector's checkpoint. So each event has its effect exactly once, however
/// often a process dies: what a projector writes through the transaction is there with the
/// checkpoint or not at all. What it does elsewhere (a mail, a file) may happen again; do that in
/// [`committed`](Self::committed), or not in a projector.
///
/// A read model can be thrown away and built again at any time. So let it depend on events alone:
/// take times from them, not from a clock.
///
/// For the traits of a real read store see `PgReadStore` and `MemoryReadStore`; a whole one:
///
/// ```
/// # use cqrs_core::{Event, Projector, Recorded, event::{DecodeFailure, EventType, Payload, PayloadError}, projection::{ProjectError, ReadStore}, store::async_trait};
/// # enum CartEvent { Added }
/// # impl Event for CartEvent {
/// #     const TYPES: &'static [EventType] = &[EventType::new("cart.added", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&()) }
/// #     fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> { Ok(Self::Added) }
/// # }
/// # trait Counts { fn create(&mut self); fn add(&mut self, cart: &str); }
/// struct CartSizes;
///
/// #[async_trait]
/// impl<S> Projector<S> for CartSizes
/// where
///     S: ReadStore,
///     S::Transaction: Counts,
/// {
///     type Event = CartEvent;
///     const NAME: &'static str = "cart_sizes";
///     const VERSION: u32 = 1;
///
///     async fn create(&self, rows: &mut S::Transaction) -> Result<(), ProjectError> {
///         rows.create();
///         Ok(())
///     }
///
///     async fn project(
///         &self,
///         rows: &mut S::Transaction,
///         event: &Recorded<CartEvent>,
///     ) -> Result<(), ProjectError> {
///         rows.add(event.stream.as_str());
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait Projector<S: ReadStore>: Send + Sync + 'static {
    /// The events it looks at, of one or several aggregates. The store passes over all others.
    type Event: Event;

    /// Its name, and the place of its tables: up to 32 lower-case letters, digits and
    /// underscores, a letter first.
    const NAME: &'static str;

    /// Counted up when its tables or their meaning change: it is built anew beside the old one,
    /// which readers see until the new one has caught up.
    const VERSION: u32;

    /// Whether [`key`](Self::key) says what belongs together. Otherwise it is the stream.
    const KEYED: bool = false;

    /// Makes empty tables. Called once for each generation, in the transaction that begins it.
    ///
    /// # Errors
    /// [`ProjectError`]; the generation is not begun.
    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError>;

    /// Does what needs no transaction, such as asking another system, before the one begins in
    /// which these events are taken in. Called again when that is tried again. Not called for
    /// [inline](crate::InlineStore) projections.
    ///
    /// # Errors
    /// As [`project_batch`](Self::project_batch).
    async fn prepare(&self, events: &[Recorded<Self::Event>]) -> Result<(), ProjectError> {
        let _ = events;
        Ok(())
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// [`ProjectError`]: everything of the transaction is undone, and it is tried again as the
    /// [`FailurePolicy`](super::FailurePolicy) says. A panic counts as an error.
    async fn project(
        &self,
        tx: &mut S::Transaction,
        event: &Recorded<Self::Event>,
    ) -> Result<(), ProjectError>;

    /// Takes several events in, which is worth writing when they can be taken in together: one
    /// statement for a thousand rows is ten times as fast as a thousand statements.
    ///
    /// # Errors
    /// As [`project`](Self::project). The batch is tried again in halves until the event that
    /// fails stands alone.
    async fn project_batch(
        &self,
        tx: &mut S::Transaction,
        events: &[Recorded<Self::Event>],
    ) -> Result<(), ProjectError> {
        for event in events {
            self.project(tx, event).await?;
        }
        Ok(())
    }

    /// What the event is about, if [`KEYED`](Self::KEYED): events of one key are handled in order
    /// by one partition at a time, and when one is parked the later ones of its key wait behind it.
    /// Where an upcaster makes several events of a stored one, the first gives the key for all.
    fn key<'e>(&self, event: &'e Recorded<Self::Event>) -> Cow<'e, str> {
        Cow::Borrowed(event.stream.as_str())
    }

    /// Told after the commit, in the process that made it, by the generation readers see. Not
    /// repeated by a rebuild. Lost when the process dies in between; a panic in it is only logged.
    fn committed(&self, events: &[Recorded<Self::Event>]) {
        let _ = events;
    }
}
