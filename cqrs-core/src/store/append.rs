//! Appends: events that are stored together or not at all.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::InvalidAppend;
use crate::state::State;
use crate::{
    CommandId, ExpectedVersion, NewEvent, Payload, Position, StreamName, Timestamp, Version,
};

/// The maximum size of an append: 128 MiB for the payloads of all its events and states together.
pub const MAX_APPEND_BYTES: usize = 128 * 1024 * 1024;
/// The highest schema version of an event: the largest signed 32-bit integer.
pub const MAX_SCHEMA_VERSION: u32 = i32::MAX.unsigned_abs();

/// Events for one or several streams, which are stored all together or not at all.
///
/// Each stream has an expected version. Pass the append to
/// [`EventStore::append`](super::EventStore::append); appending a clone again is harmless, because
/// the ids of the events are part of it.
///
/// ```
/// use cqrs_core::{ExpectedVersion, StreamName, event::NewEvent, store::Append};
///
/// // Moves an item from one cart to another.
/// let append = Append::to(
///     StreamName::new("cart-1")?,
///     ExpectedVersion::StreamExists,
///     vec![NewEvent::json("cart.removed", "abc")?],
/// )
/// .and_to(
///     StreamName::new("cart-2")?,
///     ExpectedVersion::Any,
///     vec![NewEvent::json("cart.added", "abc")?],
/// );
/// assert_eq!(append.event_count(), 2);
/// assert!(append.check().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Append {
    /// The streams, each at most once. Positions are assigned in this order.
    pub streams: Vec<StreamAppend>,
    /// The command to record with the append, so that it is recognized if it is sent again.
    pub command: Option<CommandKey>,
}

/// The part of an [`Append`] for one stream.
///
/// ```
/// use cqrs_core::{StreamName, Version, store::{Append, StreamAppend}};
///
/// // A condition without events: the append fails unless the price list is at version 3.
/// let mut append = Append::empty();
/// append.streams.push(StreamAppend::new(StreamName::new("prices")?, Version::new(3)));
/// assert_eq!(append.event_count(), 0);
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamAppend {
    /// The stream.
    pub stream: StreamName,
    /// The version the stream must be at. It is also checked if there are no events, so that a part
    /// without events is a condition on the whole append.
    pub expected: ExpectedVersion,
    /// The events to append, in order.
    pub events: Vec<NewEvent>,
    /// The state to store with the events, for aggregates that are loaded from a row.
    pub state: Option<State>,
}

impl Append {
    /// Creates an append without streams. It is invalid until a stream is added to
    /// [`streams`](Self::streams).
    #[must_use]
    pub const fn empty() -> Self {
        Self { streams: Vec::new(), command: None }
    }

    /// Creates an append of events to one stream.
    #[must_use]
    pub fn to(
        stream: StreamName,
        expected: impl Into<ExpectedVersion>,
        events: Vec<NewEvent>,
    ) -> Self {
        Self {
            streams: vec![StreamAppend { stream, expected: expected.into(), events, state: None }],
            command: None,
        }
    }

    /// Adds events for another stream.
    #[must_use]
    pub fn and_to(
        mut self,
        stream: StreamName,
        expected: impl Into<ExpectedVersion>,
        events: Vec<NewEvent>,
    ) -> Self {
        self.streams.push(StreamAppend { stream, expected: expected.into(), events, state: None });
        self
    }

    /// Sets the state to store with the stream that was added last. It is stored at the version
    /// of the stream after the append.
    #[must_use]
    pub fn with_state(mut self, state: State) -> Self {
        if let Some(last) = self.streams.last_mut() {
            last.state = Some(state);
        }
        self
    }

    /// Records a command with the append. If the same command was recorded before, the append
    /// stores nothing and returns the first result.
    #[must_use]
    pub fn with_command(mut self, command: CommandKey) -> Self {
        self.command = Some(command);
        self
    }

    /// Returns the number of events.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.streams.iter().map(|stream| stream.events.len()).sum()
    }

    /// Returns the events in the order in which positions are assigned.
    pub fn events(&self) -> impl Iterator<Item = &NewEvent> {
        self.streams.iter().flat_map(|stream| &stream.events)
    }

    /// Checks the rules that apply in every store. A store calls this before it does anything else.
    ///
    /// # Errors
    /// Returns the first rule that the append breaks as an [`InvalidAppend`]. Checking the same
    /// append again does not help.
    pub fn check(&self) -> Result<(), InvalidAppend> {
        if self.streams.is_empty() {
            return Err(InvalidAppend::NoStream);
        }
        // A single stream or event cannot repeat; this keeps the most frequent appends fast.
        if self.streams.len() > 1 {
            let mut seen = HashSet::new();
            if let Some(twice) = self.streams.iter().find(|part| !seen.insert(&part.stream)) {
                return Err(InvalidAppend::RepeatedStream { stream: twice.stream.clone() });
            }
        }
        if self.event_count() > 1 {
            let mut seen = HashSet::new();
            if let Some(twice) = self.events().find(|event| !seen.insert(event.id)) {
                return Err(InvalidAppend::RepeatedEvent { id: twice.id });
            }
        }
        let states = || self.streams.iter().filter_map(|part| part.state.as_ref());
        for state in states() {
            state.payload.check()?;
        }
        let bytes = self.events().map(|event| event.payload.as_bytes().len()).sum::<usize>()
            + states().map(|state| state.payload.as_bytes().len()).sum::<usize>();
        if bytes > MAX_APPEND_BYTES {
            return Err(InvalidAppend::TooLarge { bytes });
        }
        for event in self.events() {
            event.payload.check()?;
            if !(1..=MAX_SCHEMA_VERSION).contains(&event.schema_version) {
                return Err(InvalidAppend::SchemaVersion { id: event.id });
            }
            if event.metadata.actor.is_some() || !event.metadata.headers.is_empty() {
                Payload::encode(&*event.metadata)
                    .map_err(|source| InvalidAppend::Metadata { id: event.id, source })?;
            }
        }
        Ok(())
    }
}

impl StreamAppend {
    /// Creates the part for a stream, without events.
    #[must_use]
    pub fn new(stream: StreamName, expected: impl Into<ExpectedVersion>) -> Self {
        Self { stream, expected: expected.into(), events: Vec::new(), state: None }
    }
}

/// The identity of a command: its id, and a digest of its destination and content.
///
/// ```
/// use cqrs_core::{CommandId, StreamName, event::Payload, store::CommandKey};
///
/// let (id, cart) = (CommandId::random(), StreamName::new("cart-1")?);
/// let key = CommandKey::new(id, &cart, &Payload::encode("add abc")?);
/// assert_eq!(key, CommandKey::new(id, &cart, &Payload::encode("add abc")?));
/// // A different command under the same id has a different fingerprint.
/// assert_ne!(key, CommandKey::new(id, &cart, &Payload::encode("add xyz")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommandKey {
    /// The id that the sender gave the command.
    pub id: CommandId,
    /// A UUIDv5 of the destination and the content, which detects a different command with the same
    /// id.
    pub fingerprint: Uuid,
}

impl CommandKey {
    /// Creates the key of a command with this content for this stream.
    #[must_use]
    pub fn new(id: CommandId, stream: &StreamName, content: &Payload) -> Self {
        let mut text = Vec::with_capacity(stream.as_str().len() + 1 + content.as_bytes().len());
        text.extend_from_slice(stream.as_str().as_bytes());
        // Stream names contain no NUL, so it separates the two parts unambiguously.
        text.push(0);
        text.extend_from_slice(content.as_bytes());
        Self { id, fingerprint: Uuid::new_v5(&id.as_uuid(), &text) }
    }

    /// Creates a key from its stored parts.
    #[must_use]
    pub const fn from_parts(id: CommandId, fingerprint: Uuid) -> Self {
        Self { id, fingerprint }
    }
}

/// A command that was recorded with an append.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandRecord {
    /// The identity of the command.
    pub key: CommandKey,
    /// The first result of the append.
    pub appended: Appended,
}

impl CommandRecord {
    /// Creates a record from its stored parts.
    #[must_use]
    pub const fn new(key: CommandKey, appended: Appended) -> Self {
        Self { key, appended }
    }
}

/// The result of a successful append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Appended {
    /// The streams of the append, in the same order.
    pub streams: Vec<AppendedStream>,
    /// The time the append was stored.
    pub recorded_at: Timestamp,
    /// `true` if the append had been stored before. The other fields are those of the first result.
    #[serde(skip)]
    pub repeated: bool,
}

impl Appended {
    /// Creates the result of a first append.
    #[must_use]
    pub const fn new(streams: Vec<AppendedStream>, recorded_at: Timestamp) -> Self {
        Self { streams, recorded_at, repeated: false }
    }

    /// Returns the version of the first stream after the append.
    #[must_use]
    pub fn version(&self) -> Version {
        self.streams.first().map_or(Version::ZERO, |stream| stream.version)
    }

    /// Returns the position of the last event, or [`Position::START`] if there were no events, so
    /// that waiting for this position returns immediately.
    #[must_use]
    pub fn position(&self) -> Position {
        self.streams.iter().map(|stream| stream.position).max().unwrap_or_default()
    }

    /// Marks the result as that of an append that had been stored before.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.repeated = true;
        self
    }
}

/// One stream after an append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppendedStream {
    /// The stream.
    pub stream: StreamName,
    /// The version of the stream after the append, which is the version of its last event.
    pub version: Version,
    /// The number of events stored. Their versions and positions are contiguous.
    pub events: u64,
    /// The position of the last event stored, or [`Position::START`] if there were no events.
    pub position: Position,
}

impl AppendedStream {
    /// Creates an entry, for implementations of [`EventStore`](super::EventStore).
    #[must_use]
    pub const fn new(
        stream: StreamName,
        version: Version,
        events: u64,
        position: Position,
    ) -> Self {
        Self { stream, version, events, position }
    }

    /// Returns the version of the first event stored, or `None` if there were no events.
    #[must_use]
    pub fn first_version(&self) -> Option<Version> {
        (self.events > 0).then(|| Version::new(self.version.get() + 1 - self.events))
    }

    /// Returns the position of the first event stored, or `None` if there were no events.
    #[must_use]
    pub fn first_position(&self) -> Option<Position> {
        (self.events > 0).then(|| Position::new(self.position.get() + 1 - self.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventName;
    use crate::payload::MAX_PAYLOAD_BYTES;

    fn checked(schema_version: u32, payload: &Payload, events: usize) -> Result<(), InvalidAppend> {
        let name = EventName::new("e").unwrap();
        let event = || NewEvent::raw(name.clone(), schema_version, payload.clone());
        let events = (0..events).map(|_| event()).collect();
        Append::to(StreamName::new("a").unwrap(), ExpectedVersion::Any, events).check()
    }

    #[test]
    fn schema_versions_and_sizes_out_of_range_are_invalid() {
        let small = Payload::from_stored("1");
        for version in [0, MAX_SCHEMA_VERSION + 1, u32::MAX] {
            let checked = checked(version, &small, 1);
            assert!(matches!(checked, Err(InvalidAppend::SchemaVersion { .. })), "{version}");
        }
        assert!(checked(MAX_SCHEMA_VERSION, &small, 1).is_ok());
        let large = Payload::from_stored(vec![b' '; MAX_PAYLOAD_BYTES]);
        let most = MAX_APPEND_BYTES / MAX_PAYLOAD_BYTES;
        assert!(checked(1, &large, most).is_ok());
        assert!(matches!(checked(1, &large, most + 1), Err(InvalidAppend::TooLarge { .. })));
    }

    #[test]
    fn another_destination_or_content_has_another_fingerprint() {
        let id = CommandId::random();
        let key = |stream: &str, content: &str| {
            let content = Payload::from_stored(content.to_owned());
            CommandKey::new(id, &StreamName::new(stream).unwrap(), &content)
        };
        let one = key("a-1", "12");
        assert_eq!(one, key("a-1", "12"));
        for other in [key("a-1", "13"), key("a-2", "12"), key("a-11", "2"), key("a-112", "")] {
            assert_ne!(one, other);
        }
        let elsewhere = CommandKey { id: CommandId::random(), ..one };
        assert_ne!(one, elsewhere);
    }
}
