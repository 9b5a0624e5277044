//! The result of a command that took effect.

use std::fmt;
use std::sync::Arc;

use crate::{
    Aggregate, Appended, AppendedStream, Changes, CommandId, CorrelationId, Metadata, Position,
    Recorded, StreamName, Version, Waited,
};

/// The result of a command that took effect: which events it led to, and where they are stored.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::App;
/// use cqrs_memory::MemoryStore;
///
/// let app = App::new(MemoryStore::new());
/// let outcome = app.dispatch(deposit("alice", 500)).await?;
/// assert_eq!(outcome.stream.as_str(), "account-alice");
/// assert_eq!((outcome.version.get(), outcome.position.get()), (1, 1));
/// assert_eq!(outcome.events[0].event, AccountEvent::Deposited { cents: 500 });
/// assert_eq!(outcome.metadata.command_id, Some(outcome.command_id));
/// assert!(!outcome.repeated);
/// # Ok(()) }
/// ```
#[non_exhaustive]
pub struct Outcome<A: Aggregate> {
    /// The aggregate's stream.
    pub stream: StreamName,
    /// The aggregate's version after the command.
    pub version: Version,
    /// The position of the last event. [`Position::START`] if there was none, so that waiting for
    /// it returns immediately.
    pub position: Position,
    /// The events, in order; empty if the command changed nothing.
    pub events: Vec<Recorded<A::Event>>,
    /// The metadata that every event carries.
    pub metadata: Arc<Metadata>,
    /// The command's id, whether given or generated.
    pub command_id: CommandId,
    /// `true` if the command had been stored before and this is its first outcome.
    pub repeated: bool,
    /// The state after the command if the caller asked for it with
    /// [`with_state`](super::Dispatch::with_state). For a repeated command, the current state.
    pub state: Option<A>,
    /// The result of waiting for read models if the caller asked for it with
    /// [`wait_for`](super::Dispatch::wait_for).
    pub waited: Option<Waited>,
}

impl<A: Aggregate> Outcome<A> {
    /// Creates an outcome without events. Middleware uses it to
    /// [answer](super::Flow::answer) in place of the aggregate.
    #[must_use]
    pub fn unchanged(stream: StreamName, version: Version, command_id: CommandId) -> Self {
        Self {
            stream,
            version,
            position: Position::START,
            events: Vec::new(),
            metadata: Arc::default(),
            command_id,
            repeated: false,
            state: None,
            waited: None,
        }
    }

    /// Returns `true` if the caller waited for read models and they show the command's effect.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.waited == Some(Waited::CaughtUp)
    }

    /// Returns the conversation that the command belongs to.
    #[must_use]
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        self.metadata.correlation_id
    }

    /// Adds the events with the versions and positions that the store assigned to them.
    pub(super) fn with_events(
        mut self,
        appended: &Appended,
        changes: Changes<A::Event>,
        metadata: &Arc<Metadata>,
    ) -> Self {
        let part = appended.streams.first();
        let version = part.and_then(AppendedStream::first_version).unwrap_or_default();
        let position = part.and_then(AppendedStream::first_position).unwrap_or_default();
        let (events, new_events) = changes.into_parts();
        self.events = (0..)
            .zip(events.into_iter().zip(new_events))
            .map(|(nth, (event, stored))| {
                Recorded::new(
                    self.stream.clone(),
                    version.plus(nth),
                    position.plus(nth),
                    stored.id,
                    appended.recorded_at,
                    Arc::clone(metadata),
                    event,
                )
            })
            .collect();
        self
    }
}

impl<A: Aggregate> fmt::Debug for Outcome<A>
where
    A::Event: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("stream", &self.stream)
            .field("version", &self.version)
            .field("position", &self.position)
            .field("events", &self.events)
            .field("command_id", &self.command_id)
            .field("repeated", &self.repeated)
            .finish_non_exhaustive()
    }
}
