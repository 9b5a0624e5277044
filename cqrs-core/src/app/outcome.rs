//! What a command led to.

use std::fmt;

use crate::{
    Aggregate, Appended, AppendedStream, Changes, CommandId, CorrelationId, Metadata, Position,
    Recorded, StreamName, Version, Waited,
};
use std::sync::Arc;

/// A command took effect.
///
/// It says where, and what happened; what the world looks like now is for read models to say.
#[non_exhaustive]
pub struct Outcome<A: Aggregate> {
    /// The aggregate's stream.
    pub stream: StreamName,
    /// Its version after the command.
    pub version: Version,
    /// The position of the last event; [`Position::START`] when there was none, so that waiting
    /// for it is over at once.
    pub position: Position,
    /// The events, empty when there was nothing to do.
    pub events: Vec<Recorded<A::Event>>,
    /// The metadata every event carries.
    pub metadata: Arc<Metadata>,
    /// The command's id, given or made.
    pub command_id: CommandId,
    /// Whether the command had been stored before and this is its first outcome again.
    pub repeated: bool,
    /// The state afterwards, if it was asked for with
    /// [`with_state`](super::Dispatch::with_state). Of a repeated command, the state now.
    pub state: Option<A>,
    /// What came of waiting for read models, if that was asked for with
    /// [`wait_for`](super::Dispatch::wait_for).
    pub waited: Option<Waited>,
}

impl<A: Aggregate> Outcome<A> {
    /// An outcome without events; also what a middleware answers with in place of the aggregate.
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

    /// Whether the read models that were waited for show the command's effect.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.waited == Some(Waited::CaughtUp)
    }

    /// The conversation the command belongs to.
    #[must_use]
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        self.metadata.correlation_id
    }

    /// Adds the events at the places the store gave them.
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
