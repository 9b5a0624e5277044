//! An event on its way into the log.

use std::sync::Arc;

use serde::Serialize;

use super::Event;
use crate::{EventId, EventName, InvalidName, Metadata, Payload, PayloadError, Timestamp};

/// An event that is not stored yet.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewEvent {
    /// Its identity. Appending it again under the same id does not store it twice.
    pub id: EventId,
    /// The stored name of its type.
    pub name: EventName,
    /// The schema version of its payload, counted from 1.
    pub schema_version: u32,
    /// The content.
    pub payload: Payload,
    /// Who and what it comes from. Shared by the events of one command.
    pub metadata: Arc<Metadata>,
    /// When it happened, for imports of old events; the store's own time when `None`.
    pub recorded_at: Option<Timestamp>,
}

impl NewEvent {
    /// A typed event under a fresh id.
    ///
    /// # Errors
    /// [`PayloadError`] when its content cannot be stored.
    pub fn of<E: Event>(event: &E) -> Result<Self, PayloadError> {
        Self::of_with_id(event, EventId::random())
    }

    /// A typed event under an id of the caller's.
    ///
    /// # Errors
    /// [`PayloadError`] when its content cannot be stored.
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

    /// An event without a Rust type behind it: a name and a value that becomes its JSON, at
    /// schema version 1.
    ///
    /// # Errors
    /// [`InvalidEvent`] for a name or a value that cannot be stored.
    pub fn json<T: Serialize + ?Sized>(name: &str, value: &T) -> Result<Self, InvalidEvent> {
        Ok(Self::raw(EventName::new(name)?, 1, Payload::encode(value)?))
    }

    /// An event from its stored parts, under a fresh id. Schema versions count from 1.
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

    /// Sets the identity.
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

    /// Sets the moment it happened instead of the moment it is stored.
    #[must_use]
    pub fn with_recorded_at(mut self, moment: Timestamp) -> Self {
        self.recorded_at = Some(moment);
        self
    }
}

/// Why a name and a value are no event.
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
