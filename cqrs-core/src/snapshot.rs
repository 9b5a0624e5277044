//! Snapshots: a state kept so that fewer events need to be read. Always disposable.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Payload, StoreError, StreamName, Timestamp, Version};

/// The state of a stream at a version.
///
/// It is a copy of what the events say, never the truth: one that cannot be read, or was made by
/// other code, is passed over and the events are folded instead.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamName,
    /// The version of the last event it contains.
    pub version: Version,
    /// Names the shape of the state and the rules that folded it. A snapshot with another tag
    /// than the code's is passed over.
    pub tag: String,
    /// The state.
    pub payload: Payload,
    /// When it was taken.
    pub taken_at: Timestamp,
}

impl Snapshot {
    /// From its parts.
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

/// Keeps the newest snapshot of each stream.
#[async_trait]
pub trait SnapshotStore: std::fmt::Debug + Send + Sync + 'static {
    /// The snapshot of a stream, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError>;

    /// Keeps a snapshot in place of an older one.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. One of the two is there then; saving again
    /// is harmless.
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError>;

    /// Removes the snapshot of a stream. Nothing to remove is fine.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
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
