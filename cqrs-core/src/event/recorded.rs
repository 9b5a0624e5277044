//! An event as the log holds it, and reading it as the type it was.

use std::sync::Arc;

use super::Event;
use crate::{EventId, EventName, Metadata, Payload, Position, StreamName, Timestamp, Version};

/// An event and all that the log knows about it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recorded<E> {
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its place in that stream, from 1.
    pub version: Version,
    /// Its place in the whole log, from 1.
    pub position: Position,
    /// Its identity.
    pub id: EventId,
    /// When it was stored, or the moment given by whoever imported it.
    pub recorded_at: Timestamp,
    /// Who and what it comes from.
    pub metadata: Arc<Metadata>,
    /// What happened.
    pub event: E,
}

/// An event as a store hands it out: not yet decoded.
pub type RecordedEvent = Recorded<RawEvent>;

/// The stored parts of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawEvent {
    /// The stored name of its type.
    pub name: EventName,
    /// The schema version of the payload.
    pub schema_version: u32,
    /// The content.
    pub payload: Payload,
}

impl RawEvent {
    /// From its stored parts.
    #[must_use]
    pub const fn new(name: EventName, schema_version: u32, payload: Payload) -> Self {
        Self { name, schema_version, payload }
    }
}

impl<E> Recorded<E> {
    /// From its stored parts; for stores and tests.
    #[must_use]
    pub const fn new(
        stream: StreamName,
        version: Version,
        position: Position,
        id: EventId,
        recorded_at: Timestamp,
        metadata: Arc<Metadata>,
        event: E,
    ) -> Self {
        Self { stream, version, position, id, recorded_at, metadata, event }
    }

    /// The same record with something else in place of the event.
    pub fn with_event<F>(&self, event: F) -> Recorded<F> {
        Recorded {
            stream: self.stream.clone(),
            version: self.version,
            position: self.position,
            id: self.id,
            recorded_at: self.recorded_at,
            metadata: Arc::clone(&self.metadata),
            event,
        }
    }
}

impl RecordedEvent {
    /// Reads the event as a type.
    ///
    /// # Errors
    /// [`DecodeError`], which names the event: an unknown name, a schema version without an
    /// upcaster to today's, or content of another shape. Reading again cannot help.
    pub fn decode<E: Event>(&self) -> Result<Recorded<E>, DecodeError> {
        match self.event.decode() {
            Ok(event) => Ok(self.with_event(event)),
            Err(failure) => Err(DecodeError::at(self, failure)),
        }
    }

    /// Reads the event as a type, taking the record apart instead of copying it.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn into_decoded<E: Event>(self) -> Result<Recorded<E>, DecodeError> {
        match self.event.decode() {
            Ok(event) => Ok(Recorded {
                stream: self.stream,
                version: self.version,
                position: self.position,
                id: self.id,
                recorded_at: self.recorded_at,
                metadata: self.metadata,
                event,
            }),
            Err(failure) => Err(DecodeError::at(&self, failure)),
        }
    }
}

impl RawEvent {
    fn decode<E: Event>(&self) -> Result<E, DecodeFailure> {
        let name = self.name.as_str();
        let known =
            E::TYPES.iter().find(|known| known.name() == name).ok_or(DecodeFailure::UnknownType)?;
        if self.schema_version != known.version() {
            return Err(DecodeFailure::Version { expected: known.version() });
        }
        E::decode(name, &self.payload)
    }
}

/// An event in the log that cannot be read, with everything needed to find it.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read event {version} of `{stream}` (position {position}, {name} v{schema_version})"
)]
#[non_exhaustive]
pub struct DecodeError {
    /// The stream it is in.
    pub stream: StreamName,
    /// Its version in that stream.
    pub version: Version,
    /// Its position in the log.
    pub position: Position,
    /// The stored name of its type.
    pub name: EventName,
    /// The stored schema version.
    pub schema_version: u32,
    /// What is wrong with it.
    #[source]
    pub failure: DecodeFailure,
}

impl DecodeError {
    /// A failure and the event it concerns.
    #[must_use]
    pub fn at(event: &RecordedEvent, failure: DecodeFailure) -> Self {
        Self {
            stream: event.stream.clone(),
            version: event.version,
            position: event.position,
            name: event.event.name.clone(),
            schema_version: event.event.schema_version,
            failure,
        }
    }
}

/// What is wrong with an event that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// No type here has that stored name.
    #[error("the event type is not known here")]
    UnknownType,
    /// It was stored at another schema version and no upcaster leads to the expected one.
    #[error("only version {expected} can be read and no upcaster leads there")]
    Version {
        /// The version that can be read.
        expected: u32,
    },
    /// An upcaster could not make sense of the stored content.
    #[error("the upcaster refused the stored content: {reason}")]
    Upcast {
        /// What the upcaster said.
        reason: String,
    },
    /// The content does not have the shape of its type.
    #[error("the stored content does not fit the type")]
    Malformed(#[from] serde_json::Error),
}

/// Events as they were stored: one of last year's may be several of today's, which are taken in,
/// put aside and tried again together.
pub(crate) fn as_stored<E>(events: &[Recorded<E>]) -> impl Iterator<Item = &[Recorded<E>]> {
    events.chunk_by(|left, right| left.position == right.position)
}
