//! An append as a value: what goes into the log together or not at all.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::InvalidAppend;
use crate::state::State;
use crate::{
    CommandId, ExpectedVersion, NewEvent, Payload, Position, StreamName, Timestamp, Version,
};

/// Largest append: the payloads of all its events and states together, in bytes.
pub const MAX_APPEND_BYTES: usize = 128 * 1024 * 1024;
/// Largest schema version of an event: what a database keeps in a signed number.
pub const MAX_SCHEMA_VERSION: u32 = i32::MAX.unsigned_abs();

/// Events for one or several streams, stored all together or not at all.
///
/// ```
/// use cqrs_core::{ExpectedVersion, StreamName, event::NewEvent, store::Append};
///
/// let append = Append::to(
///     StreamName::new("cart-1")?,
///     ExpectedVersion::NoStream,
///     vec![NewEvent::json("cart.added", "abc")?],
/// );
/// assert!(append.check().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Append {
    /// The streams, each at most once. Positions are given in this order.
    pub streams: Vec<StreamAppend>,
    /// The command that is recorded with the append, so that it is known when it comes again.
    pub command: Option<CommandKey>,
}

/// What one stream gets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamAppend {
    /// The stream.
    pub stream: StreamName,
    /// Where it must be. Checked also when there are no events, which makes an empty list a pure
    /// condition.
    pub expected: ExpectedVersion,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// The state to keep beside the events, for aggregates that are loaded from a row.
    pub state: Option<State>,
}

impl Append {
    /// An append to no stream yet, to be filled. [`check`](Self::check) refuses it as it is.
    #[must_use]
    pub const fn empty() -> Self {
        Self { streams: Vec::new(), command: None }
    }

    /// Events for one stream.
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

    /// Events for one more stream.
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

    /// Keeps a state beside the events of the stream named last, at the version it has then.
    #[must_use]
    pub fn with_state(mut self, state: State) -> Self {
        if let Some(last) = self.streams.last_mut() {
            last.state = Some(state);
        }
        self
    }

    /// Records a command with the append. When the same command was recorded before, its first
    /// outcome is the answer and nothing is stored.
    #[must_use]
    pub fn with_command(mut self, command: CommandKey) -> Self {
        self.command = Some(command);
        self
    }

    /// How many events it holds.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.streams.iter().map(|stream| stream.events.len()).sum()
    }

    /// Its events in the order of their future positions.
    pub fn events(&self) -> impl Iterator<Item = &NewEvent> {
        self.streams.iter().flat_map(|stream| &stream.events)
    }

    /// The rules that hold in every store; a store asks this before it does anything.
    ///
    /// # Errors
    /// [`InvalidAppend`] names the rule. The same append is never valid later.
    pub fn check(&self) -> Result<(), InvalidAppend> {
        if self.streams.is_empty() {
            return Err(InvalidAppend::NoStream);
        }
        // One stream, one event: nothing can repeat, and this is the path that must be fast.
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
    /// Nothing for a stream yet.
    #[must_use]
    pub fn new(stream: StreamName, expected: impl Into<ExpectedVersion>) -> Self {
        Self { stream, expected: expected.into(), events: Vec::new(), state: None }
    }
}

/// A command's identity and a digest of what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommandKey {
    /// The id its sender gave it.
    pub id: CommandId,
    /// Tells another command under the same id: a UUIDv5 over the destination and the content.
    pub fingerprint: Uuid,
}

impl CommandKey {
    /// The key of a command with this content, addressed to this stream.
    #[must_use]
    pub fn new(id: CommandId, stream: &StreamName, content: &Payload) -> Self {
        let mut text = Vec::with_capacity(stream.as_str().len() + 1 + content.as_bytes().len());
        text.extend_from_slice(stream.as_str().as_bytes());
        // Names contain no NUL, so the two parts cannot run into each other.
        text.push(0);
        text.extend_from_slice(content.as_bytes());
        Self { id, fingerprint: Uuid::new_v5(&id.as_uuid(), &text) }
    }

    /// A key from its stored parts.
    #[must_use]
    pub const fn from_parts(id: CommandId, fingerprint: Uuid) -> Self {
        Self { id, fingerprint }
    }
}

/// What a store remembers of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandRecord {
    /// The command.
    pub key: CommandKey,
    /// What its append answered the first time.
    pub appended: Appended,
}

impl CommandRecord {
    /// From its stored parts.
    #[must_use]
    pub const fn new(key: CommandKey, appended: Appended) -> Self {
        Self { key, appended }
    }
}

/// The answer to an append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Appended {
    /// One entry for each stream of the append, in its order.
    pub streams: Vec<AppendedStream>,
    /// When it was stored.
    pub recorded_at: Timestamp,
    /// Whether it had been stored before and this is the first answer again.
    #[serde(skip)]
    pub repeated: bool,
}

impl Appended {
    /// From its parts, as the first answer.
    #[must_use]
    pub const fn new(streams: Vec<AppendedStream>, recorded_at: Timestamp) -> Self {
        Self { streams, recorded_at, repeated: false }
    }

    /// The version of the append's first stream.
    #[must_use]
    pub fn version(&self) -> Version {
        self.streams.first().map_or(Version::ZERO, |stream| stream.version)
    }

    /// The position of the last event stored; [`Position::START`] when there was none, so that
    /// waiting for it is over at once.
    #[must_use]
    pub fn position(&self) -> Position {
        self.streams.iter().map(|stream| stream.position).max().unwrap_or_default()
    }

    /// The same answer, marked as given before.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.repeated = true;
        self
    }
}

/// What happened to one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppendedStream {
    /// The stream.
    pub stream: StreamName,
    /// Its version afterwards, which is the version of the last event.
    pub version: Version,
    /// How many events were stored; their versions and positions are contiguous.
    pub events: u64,
    /// The position of the last of them; [`Position::START`] when there was none.
    pub position: Position,
}

impl AppendedStream {
    /// From its parts.
    #[must_use]
    pub const fn new(
        stream: StreamName,
        version: Version,
        events: u64,
        position: Position,
    ) -> Self {
        Self { stream, version, events, position }
    }

    /// The version of the first event, if there was one.
    #[must_use]
    pub fn first_version(&self) -> Option<Version> {
        (self.events > 0).then(|| Version::new(self.version.get() + 1 - self.events))
    }

    /// The position of the first event, if there was one.
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
    fn what_no_store_can_keep_is_refused_before_it_is_asked() {
        let small = Payload::from_stored("1");
        for version in [0, MAX_SCHEMA_VERSION + 1, u32::MAX] {
            let refused = checked(version, &small, 1);
            assert!(matches!(refused, Err(InvalidAppend::SchemaVersion { .. })), "{version}");
        }
        assert!(checked(MAX_SCHEMA_VERSION, &small, 1).is_ok());
        let large = Payload::from_stored(vec![b' '; MAX_PAYLOAD_BYTES]);
        let most = MAX_APPEND_BYTES / MAX_PAYLOAD_BYTES;
        assert!(checked(1, &large, most).is_ok());
        assert!(matches!(checked(1, &large, most + 1), Err(InvalidAppend::TooLarge { .. })));
    }

    #[test]
    fn another_destination_or_content_is_another_command() {
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
