//! Stored events, and decoding them.

use std::sync::Arc;

use super::Event;
use crate::{EventId, EventName, Metadata, Payload, Position, StreamName, Timestamp, Version};

/// A stored event with its place in the log and its metadata.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::{App, EventStoreExt, Recorded, store::Read};
/// use cqrs_memory::MemoryStore;
///
/// let app = App::new(MemoryStore::new());
/// app.dispatch(deposit("alice", 500)).await?;
///
/// let events: Vec<Recorded<AccountEvent>> =
///     app.store().read_as(Read::all()).await?.collect().await?;
/// let [deposited] = &events[..] else { panic!("one event") };
/// assert_eq!(deposited.event, AccountEvent::Deposited { cents: 500 });
/// assert_eq!(deposited.stream.as_str(), "account-alice");
/// assert_eq!((deposited.version.get(), deposited.position.get()), (1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recorded<E> {
    /// The stream that the event belongs to.
    pub stream: StreamName,
    /// The event's place in the stream, counted from 1.
    pub version: Version,
    /// The event's place in the log, counted from 1.
    pub position: Position,
    /// The event's id.
    pub id: EventId,
    /// When the event was stored, or the time given when it was imported.
    pub recorded_at: Timestamp,
    /// Who caused the event, and why.
    pub metadata: Arc<Metadata>,
    /// The event itself.
    pub event: E,
}

/// A stored event that has not been decoded yet, as a store returns it.
pub type RecordedEvent = Recorded<RawEvent>;

/// The stored form of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawEvent {
    /// The stored name of the event's type.
    pub name: EventName,
    /// The schema version of the payload.
    pub schema_version: u32,
    /// The content, as JSON.
    pub payload: Payload,
}

impl RawEvent {
    /// Creates a raw event from its stored parts.
    #[must_use]
    pub const fn new(name: EventName, schema_version: u32, payload: Payload) -> Self {
        Self { name, schema_version, payload }
    }
}

impl<E> Recorded<E> {
    /// Creates a stored event from its parts; for stores and tests.
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

    /// Returns the same record with another value in place of the event.
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
    /// Decodes the event as a type.
    ///
    /// ```
    /// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cqrs_core::{App, EventStoreExt, store::Read};
    /// # let app = App::new(cqrs_memory::MemoryStore::new());
    /// # app.dispatch(deposit("alice", 500)).await?;
    /// for recorded in app.store().read(Read::all()).await?.collect().await? {
    ///     let deposited = recorded.decode::<AccountEvent>()?;
    ///     assert_eq!(deposited.event, AccountEvent::Deposited { cents: 500 });
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns a [`DecodeError`], which names the event, if `E` has no event of that name, if no
    /// upcaster leads from the stored schema version to the current one, or if the content has
    /// another shape. Reading again does not help.
    pub fn decode<E: Event>(&self) -> Result<Recorded<E>, DecodeError> {
        match self.event.decode() {
            Ok(event) => Ok(self.with_event(event)),
            Err(failure) => Err(DecodeError::at(self, failure)),
        }
    }

    /// Decodes the event as a type without cloning the rest of the record.
    ///
    /// # Errors
    /// Returns a [`DecodeError`], as [`decode`](Self::decode) does.
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

/// A stored event that cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot decode event {version} of `{stream}` (position {position}, {name} v{schema_version})"
)]
#[non_exhaustive]
pub struct DecodeError {
    /// The stream that contains the event.
    pub stream: StreamName,
    /// The event's version in the stream.
    pub version: Version,
    /// The event's position in the log.
    pub position: Position,
    /// The stored name of the event's type.
    pub name: EventName,
    /// The stored schema version.
    pub schema_version: u32,
    /// Why the event cannot be decoded.
    #[source]
    pub failure: DecodeFailure,
}

impl DecodeError {
    /// Creates the error for an event.
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

/// Why an event cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// The Rust type has no event with the stored name.
    #[error("unknown event type")]
    UnknownType,
    /// The event was stored with another schema version, and no upcaster leads to the current one.
    #[error("no upcaster to the current schema version {expected}")]
    Version {
        /// The current schema version.
        expected: u32,
    },
    /// An upcaster failed on the stored content.
    #[error("the upcaster failed")]
    Upcast(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The content does not have the shape of the Rust type.
    #[error("the stored content does not match the type")]
    Malformed(#[from] serde_json::Error),
}

/// Groups events by the stored event they come from: an upcaster may have split one into several,
/// which are handled, parked and retried together.
pub(crate) fn as_stored<E>(events: &[Recorded<E>]) -> impl Iterator<Item = &[Recorded<E>]> {
    events.chunk_by(|left, right| left.position == right.position)
}
