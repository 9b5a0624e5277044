//! When snapshots are taken, and when they are believed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Loaded;
use crate::{Aggregate, Clock, Payload, PayloadError, Snapshot, SnapshotStore, StreamName};

/// How often an aggregate's state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotPolicy {
    /// A snapshot is due this many events after the last one; 0 turns snapshots off, and then
    /// those that are there are passed over.
    pub every: u64,
    /// Names the state's shape and rules. Change it whenever `apply` or the state's fields
    /// change; older snapshots are passed over then.
    pub tag: String,
}

impl SnapshotPolicy {
    /// A snapshot every this many events, tagged `1`.
    #[must_use]
    pub fn every(events: u64) -> Self {
        Self { every: events, tag: "1".into() }
    }

    /// Sets the tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }
}

pub(super) struct Snapshots<A> {
    store: Arc<dyn SnapshotStore>,
    policy: SnapshotPolicy,
    clock: Arc<dyn Clock>,
    // Plain functions, so that only aggregates with snapshots need serde.
    encode: fn(&A) -> Result<Payload, PayloadError>,
    decode: fn(&Payload) -> Result<A, serde_json::Error>,
}

impl<A> std::fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<A: Aggregate> Snapshots<A> {
    pub(super) fn new(
        store: Arc<dyn SnapshotStore>,
        policy: SnapshotPolicy,
        clock: Arc<dyn Clock>,
    ) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        Self { store, policy, clock, encode: Payload::encode::<A>, decode: Payload::decode::<A> }
    }

    /// The newest snapshot, if it can be used. Whatever is wrong with it only costs a replay.
    pub(super) async fn load(&self, stream: &StreamName) -> Option<Loaded<A>> {
        if self.policy.every == 0 {
            return None;
        }
        let snapshot = match self.store.load_snapshot(stream).await {
            Ok(snapshot) => snapshot?,
            Err(error) => {
                tracing::warn!(%stream, error = &error as &dyn std::error::Error, "no snapshot");
                return None;
            }
        };
        if snapshot.tag != self.policy.tag {
            tracing::warn!(%stream, tag = snapshot.tag, "a snapshot with another tag is ignored");
            return None;
        }
        match (self.decode)(&snapshot.payload) {
            Ok(state) => Some(Loaded {
                stream: stream.clone(),
                version: snapshot.version,
                state,
                snapshot: snapshot.version,
            }),
            Err(error) => {
                tracing::warn!(%stream, %error, "a snapshot that cannot be read is ignored");
                None
            }
        }
    }

    /// Writes a snapshot if one is due, in a task of its own.
    pub(super) fn keep(&self, loaded: &mut Loaded<A>) {
        let since = loaded.version.get().saturating_sub(loaded.snapshot.get());
        if self.policy.every == 0 || since < self.policy.every {
            return;
        }
        let stream = loaded.stream.clone();
        // The events are stored: nothing that goes wrong here may look like a failed command.
        let encoded = catch_unwind(AssertUnwindSafe(|| (self.encode)(&loaded.state)));
        let Ok(Ok(payload)) = encoded else {
            tracing::warn!(%stream, "the state cannot be kept as a snapshot");
            return;
        };
        // Without a runtime there is nobody to write it; the next one that is due will be.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        loaded.snapshot = loaded.version;
        let (tag, now) = (self.policy.tag.clone(), self.clock.now());
        let snapshot = Snapshot::new(stream, loaded.version, tag, payload, now);
        let store = Arc::clone(&self.store);
        runtime.spawn(async move {
            let stream = snapshot.stream.clone();
            if let Err(error) = store.save_snapshot(snapshot).await {
                tracing::warn!(%stream, error = &error as &dyn std::error::Error, "snapshot not kept");
            }
        });
    }
}
