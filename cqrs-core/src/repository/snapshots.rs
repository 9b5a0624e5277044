//! When snapshots are taken, and when they are used.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Loaded;
use crate::{Aggregate, Clock, Payload, PayloadError, Snapshot, SnapshotStore, StreamName};

/// How often snapshots are taken, and which ones can be used.
///
/// ```
/// use cqrs_core::repository::SnapshotPolicy;
///
/// let policy = SnapshotPolicy::every(500).tag("balances-v2");
/// assert_eq!((policy.every, policy.tag.as_str()), (500, "balances-v2"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotPolicy {
    /// The number of events between two snapshots. 0 turns snapshots off: none are taken and
    /// existing ones are not used.
    pub every: u64,
    /// A name for the shape of the state and the code that computes it. Change it whenever `apply`
    /// or the fields of the state change, so that older snapshots are ignored. Default: `1`.
    pub tag: String,
}

impl SnapshotPolicy {
    /// Takes a snapshot every `events` events, with the tag `1`.
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
    // Function pointers, so that only aggregates with snapshots need serde.
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

    /// Returns the newest snapshot if it can be used. Otherwise all events are loaded.
    pub(super) async fn load(&self, stream: &StreamName) -> Option<Loaded<A>> {
        if self.policy.every == 0 {
            return None;
        }
        let snapshot = match self.store.load_snapshot(stream).await {
            Ok(snapshot) => snapshot?,
            Err(error) => {
                tracing::warn!(%stream, error = &error as &dyn std::error::Error, "snapshot not loaded");
                return None;
            }
        };
        if snapshot.tag != self.policy.tag {
            tracing::warn!(%stream, tag = snapshot.tag, "snapshot ignored: different tag");
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
                tracing::warn!(%stream, %error, "snapshot ignored: cannot be decoded");
                None
            }
        }
    }

    /// Writes a snapshot in a separate task if one is due.
    pub(super) fn keep(&self, loaded: &mut Loaded<A>) {
        let since = loaded.version.get().saturating_sub(loaded.snapshot.get());
        if self.policy.every == 0 || since < self.policy.every {
            return;
        }
        let stream = loaded.stream.clone();
        // The events are stored, so a failure here must not look like a failed command.
        let encoded = catch_unwind(AssertUnwindSafe(|| (self.encode)(&loaded.state)));
        let Ok(Ok(payload)) = encoded else {
            tracing::warn!(%stream, "snapshot not encoded");
            return;
        };
        // Without a runtime, it is skipped; the next command tries again.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        loaded.snapshot = loaded.version;
        let (tag, now) = (self.policy.tag.clone(), self.clock.now());
        let snapshot = Snapshot::new(stream, loaded.version, tag, payload, now);
        let store = Arc::clone(&self.store);
        runtime.spawn(async move {
            let stream = snapshot.stream.clone();
            if let Err(error) = store.save_snapshot(snapshot).await {
                tracing::warn!(%stream, error = &error as &dyn std::error::Error, "snapshot not saved");
            }
        });
    }
}
