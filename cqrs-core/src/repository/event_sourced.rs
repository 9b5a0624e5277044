//! Aggregates that are loaded from their events.

use std::sync::Arc;

use async_trait::async_trait;

use super::snapshots::{SnapshotPolicy, Snapshots};
use super::{Changes, Loaded, Repository, fold};
use crate::{
    Aggregate, AppendError, Appended, Clock, EventStore, ReadError, SnapshotStore, StreamName,
    SystemClock,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A [`Repository`] that loads an aggregate from its events, optionally starting with a snapshot.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::repository::{EventSourced, Repository, SnapshotPolicy};
/// use cqrs_core::{App, StreamName};
/// use cqrs_memory::MemoryStore;
///
/// let store = MemoryStore::new();
/// App::new(store.clone()).dispatch(deposit("alice", 500)).await?;
///
/// let accounts = EventSourced::<Account>::new(store.clone())
///     .with_snapshots(store, SnapshotPolicy::every(100));
/// let alice = accounts.load(StreamName::new("account-alice")?).await?;
/// assert_eq!(alice.state().cents, 500);
/// # Ok(()) }
/// ```
pub struct EventSourced<A: Aggregate> {
    store: Arc<dyn EventStore>,
    snapshots: Option<Snapshots<A>>,
}

impl<A: Aggregate> EventSourced<A> {
    /// Creates a repository over a store, without snapshots.
    #[must_use]
    pub fn new(store: impl EventStore) -> Self {
        Self { store: Arc::new(store), snapshots: None }
    }

    /// Adds snapshots. They are written in the background after a command, which they neither delay
    /// nor fail.
    #[must_use]
    pub fn with_snapshots(self, snapshots: impl SnapshotStore, policy: SnapshotPolicy) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        self.with_snapshots_at(snapshots, policy, Arc::new(SystemClock))
    }

    pub(crate) fn with_snapshots_at(
        mut self,
        snapshots: impl SnapshotStore,
        policy: SnapshotPolicy,
        clock: Arc<dyn Clock>,
    ) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        self.snapshots = Some(Snapshots::new(Arc::new(snapshots), policy, clock));
        self
    }
}

impl<A: Aggregate> std::fmt::Debug for EventSourced<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSourced").field("category", &A::CATEGORY).finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: Aggregate> Repository<A> for EventSourced<A> {
    async fn load(&self, stream: StreamName) -> Result<Loaded<A>, ReadError> {
        let snapshot = match &self.snapshots {
            Some(snapshots) => snapshots.load(&stream).await,
            None => None,
        };
        let Some(mut loaded) = snapshot else {
            return fold::replay(&*self.store, stream).await;
        };
        if fold::catch_up(&*self.store, &mut loaded).await? {
            return Ok(loaded);
        }
        tracing::warn!(%stream, version = %loaded.version, "snapshot ignored: ahead of its stream");
        fold::replay(&*self.store, stream).await
    }

    async fn refresh(&self, loaded: &mut Loaded<A>) -> Result<(), ReadError> {
        if !fold::catch_up(&*self.store, loaded).await? {
            *loaded = self.load(loaded.stream.clone()).await?;
        }
        Ok(())
    }

    async fn save(
        &self,
        loaded: &mut Loaded<A>,
        changes: &Changes<A::Event>,
    ) -> Result<Appended, AppendError> {
        let appended = self.store.append(changes.append_to(loaded)).await?;
        fold::advance(loaded, &appended, &changes.events);
        if let Some(snapshots) = &self.snapshots {
            snapshots.keep(loaded);
        }
        Ok(appended)
    }
}
