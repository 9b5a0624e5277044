//! Events to append.

use std::sync::Arc;

use serde::Serialize;

use super::Event;
use crate::{EventId, EventName, InvalidName, Metadata, Payload, PayloadError, Timestamp};

/// An event to append.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::{EventId, Metadata, event::NewEvent};
///
/// let typed = NewEvent::of(&AccountEvent::Deposited { cents: 500 })?
///     .with_metadata(Metadata::default().with_actor("teller-7"));
/// assert_eq!(typed.name.as_str(), "bank.money-deposited");
///
/// // Without a Rust type for the event:
/// let untyped = NewEvent::json("cart.added", &["abc", "xyz"])?.with_id(EventId::random());
/// assert_eq!(untyped.payload.as_str(), r#"["abc","xyz"]"#);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewEvent {
    /// The event's id. Appending the same event again under the same id does not store it twice.
    pub id: EventId,
    /// The stored name of its type.
    pub name: EventName,
    /// The schema version of the payload, counted from 1.
    pub schema_version: u32,
    /// The content, as JSON.
    pub payload: Payload,
    /// Who caused the event, and why. Shared by the events of one command.
    pub metadata: Arc<Metadata>,
    /// When the event happened, for imports of old events. If `None`, the store's clock decides.
    pub recorded_at: Option<Timestamp>,
}

impl NewEvent {
    /// Creates an event from a typed one, with a new random id.
    ///
    /// # Errors
    /// Returns a [`PayloadError`] if the content cannot be stored.
    pub fn of<E: Event>(event: &E) -> Result<Self, PayloadError> {
        Self::of_with_id(event, EventId::random())
    }

    /// Creates an event from a typed one, with a given id.
    ///
    /// # Errors
    /// Returns a [`PayloadError`] if the content cannot be stored.
    pub fn of_with_id<E: Event>(event: &E, id: EventId) -> Result<Self, PayloadError> {
        let kind = event.event_type();
        Ok(Self {
            id,
            name: kind.event_name(),
            schema_version: kind.version(),
            payload: event.encode()?,
            metadata: Arc::default(),
            recorded_at: None,
        })
    }

    /// Creates an event of schema version 1 from a name and a value that is serialized as JSON,
    /// with a new random id. For events that have no Rust type.
    ///
    /// # Errors
    /// Returns [`InvalidEvent`] if the name or the value cannot be stored.
    pub fn json<T: Serialize + ?Sized>(name: &str, value: &T) -> Result<Self, InvalidEvent> {
        Ok(Self::raw(EventName::new(name)?, 1, Payload::encode(value)?))
    }

    /// Creates an event from its stored parts, with a new random id. Schema versions are counted
    /// from 1.
    #[must_use]
    pub fn raw(name: EventName, schema_version: u32, payload: Payload) -> Self {
        Self {
            id: EventId::random(),
            name,
            schema_version,
            payload,
            metadata: Arc::default(),
            recorded_at: None,
        }
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<EventId>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<Arc<Metadata>>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Sets the time of the event, instead of the time at which it is stored.
    #[must_use]
    pub fn with_recorded_at(mut self, moment: Timestamp) -> Self {
        self.recorded_at = Some(moment);
        self
    }
}

/// Why a name and a value cannot be stored as an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// The name cannot be stored.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The value cannot be stored.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}
