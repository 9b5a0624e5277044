//! Runs the conformance suite on the memory store, directly and through the wrappers of the core.

#![allow(clippy::unwrap_used)] // tests fail by panicking

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::{
    CommandId, EventStore, Position, StreamName, Timestamp, Upcasters, Version,
    store::{
        Append, AppendError, Appended, CommandRecord, LogRead, Pages, SaveStateError, Snapshot,
        SnapshotStore, State, StateStore, StoreError, StoredState, StreamInfo, StreamListing,
        StreamQuery, StreamRead,
    },
    subscription::{
        AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease,
        SubscriptionName,
    },
    upcast::Upcasting,
};
use cqrs_memory::MemoryStore;
use uuid::Uuid;

mod direct {
    cqrs_testing::conformance! { store = cqrs_memory::MemoryStore::new() }
}

mod wrapped {
    cqrs_testing::conformance! { store = super::Wrapped::new() }
}

/// A store whose events go through an `Arc<dyn EventStore>` and through upcasters that change none.
#[derive(Clone, Debug)]
struct Wrapped {
    events: Arc<dyn EventStore>,
    rest: MemoryStore,
}

impl Wrapped {
    fn new() -> Self {
        let rest = MemoryStore::new();
        let upcasters = Upcasters::builder().step("never stored", 1, Ok).build().unwrap();
        Self { events: Arc::new(Upcasting::new(rest.clone(), upcasters)), rest }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl EventStore for Wrapped {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.events.append(append).await
    }
    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        self.events.read_stream(read)
    }
    fn read_log(&self, read: LogRead) -> Pages<Position> {
        self.events.read_log(read)
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.events.head().await
    }
    async fn wait_for_head_after(&self, position: Position) {
        self.events.wait_for_head_after(position).await;
    }
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.events.stream_info(stream).await
    }
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.events.list_streams(query).await
    }
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.events.find_command(id).await
    }
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.events.forget_commands(recorded_before).await
    }
}

#[async_trait]
impl SnapshotStore for Wrapped {
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        self.rest.load_snapshot(stream).await
    }
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.rest.save_snapshot(snapshot).await
    }
    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError> {
        self.rest.delete_snapshot(stream).await
    }
}

#[async_trait]
impl StateStore for Wrapped {
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError> {
        self.rest.load_state(name).await
    }
    async fn save_state(
        &self,
        name: &StreamName,
        expected: Version,
        state: State,
    ) -> Result<Version, SaveStateError> {
        self.rest.save_state(name, expected, state).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CheckpointStore for Wrapped {
    async fn acquire(
        &self,
        name: &SubscriptionName,
        start: Position,
        owner: Uuid,
        duration: Duration,
    ) -> Result<SubscriptionLease, AcquireError> {
        Arc::new(self.rest.clone()).acquire(name, start, owner, duration).await
    }
    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError> {
        Arc::new(self.rest.clone()).renew(lease, duration).await
    }
    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError> {
        Arc::new(self.rest.clone()).save_checkpoint(lease, position).await
    }
    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError> {
        Arc::new(self.rest.clone()).release(lease).await
    }
    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError> {
        Arc::new(self.rest.clone()).find_checkpoint(name).await
    }
    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        Arc::new(self.rest.clone()).list_checkpoints().await
    }
    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError> {
        Arc::new(self.rest.clone()).reset_checkpoint(name, position).await
    }
    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError> {
        Arc::new(self.rest.clone()).delete_checkpoint(name).await
    }
}
