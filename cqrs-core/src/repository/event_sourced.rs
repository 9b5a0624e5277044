//! Aggregates whose state is the fold of their events.

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

/// Keeps an aggregate as its events, if wanted with snapshots.
pub struct EventSourced<A: Aggregate> {
    store: Arc<dyn EventStore>,
    snapshots: Option<Snapshots<A>>,
}

impl<A: Aggregate> EventSourced<A> {
    /// Over a store, without snapshots.
    #[must_use]
    pub fn new(store: impl EventStore) -> Self {
        Self { store: Arc::new(store), snapshots: None }
    }

    /// Takes a snapshot as often as the policy says. Writing one happens beside the command: it
    /// neither delays nor fails it.
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
        tracing::warn!(%stream, version = %loaded.version, "the snapshot is ahead of its stream");
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
