//! Snapshots: stored copies of states. With a snapshot, only the events after it are read.
//! Snapshots can be deleted at any time.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Payload, StoreError, StreamName, Timestamp, Version};

/// A stored copy of the state of an aggregate at a version.
///
/// The events remain the source of truth: a snapshot that cannot be decoded or has another tag is
/// ignored, and all events are loaded instead.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The aggregate's stream.
    pub stream: StreamName,
    /// The version of the last event in the state.
    pub version: Version,
    /// A name for the shape of the state and the code that computed it; see
    /// [`SnapshotPolicy::tag`](crate::repository::SnapshotPolicy::tag).
    pub tag: String,
    /// The state, as JSON.
    pub payload: Payload,
    /// When the snapshot was taken.
    pub taken_at: Timestamp,
}

impl Snapshot {
    /// Creates a snapshot from its parts.
    #[must_use]
    pub fn new(
        stream: StreamName,
        version: Version,
        tag: impl Into<String>,
        payload: Payload,
        taken_at: Timestamp,
    ) -> Self {
        Self { stream, version, tag: tag.into(), payload, taken_at }
    }
}

/// Stores the newest snapshot of each stream.
///
/// Implementations are annotated with [`#[async_trait]`](crate::store::async_trait).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::store::{Snapshot, SnapshotStore};
/// use cqrs_core::{StreamName, Timestamp, Version, event::Payload};
///
/// let store = cqrs_memory::MemoryStore::new();
/// let stream = StreamName::new("account-alice")?;
/// let state = Payload::encode(&500)?;
/// let snapshot = Snapshot::new(stream.clone(), Version::new(9), "v1", state, Timestamp::UNIX_EPOCH);
/// store.save_snapshot(snapshot.clone()).await?;
/// assert_eq!(store.load_snapshot(&stream).await?, Some(snapshot));
/// # Ok(()) }
/// ```
#[async_trait]
pub trait SnapshotStore: std::fmt::Debug + Send + Sync + 'static {
    /// Returns the snapshot of a stream, or `None` if there is none.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store fails.
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError>;

    /// Stores a snapshot, replacing any earlier one of the same stream.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store fails. In that case either snapshot may be stored;
    /// saving again is harmless.
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError>;

    /// Deletes the snapshot of a stream. Succeeds if there is none.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store fails.
    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SnapshotStore + ?Sized> SnapshotStore for Arc<S> {
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        (**self).load_snapshot(stream).await
    }
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        (**self).save_snapshot(snapshot).await
    }
    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError> {
        (**self).delete_snapshot(stream).await
    }
}
