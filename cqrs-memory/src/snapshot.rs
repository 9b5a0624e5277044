//! `SnapshotStore` for [`MemoryStore`], with one snapshot for each stream.

use async_trait::async_trait;
use cqrs_core::{
    StreamName,
    store::{Snapshot, SnapshotStore, StoreError},
};

use crate::{MemoryStore, Step};

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().snapshots.get(stream).cloned())
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.hooks().at(Step::BeforeSaveSnapshot)?;
        let stream = snapshot.stream.clone();
        // Dropped without the lock: see the invariant of `Shared`.
        let replaced = self.contents_mut().snapshots.insert(stream, snapshot);
        drop(replaced);
        self.hooks().at(Step::AfterSaveSnapshot)
    }

    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError> {
        self.hooks().at(Step::BeforeDeleteSnapshot)?;
        let removed = self.contents_mut().snapshots.remove(stream);
        drop(removed);
        self.hooks().at(Step::AfterDeleteSnapshot)
    }
}
