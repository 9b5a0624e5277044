//! What a running partition shows of itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::partition::PartitionLease;
use super::records::Failure;
use crate::Position;

/// What a partition is told by its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// The heartbeat it was worked out from.
    pub(super) beat: u64,
    /// To finish what it is at, and end.
    pub(crate) stop: bool,
    pub(crate) paused: bool,
    /// Whether readers see the generation.
    pub(crate) live: bool,
    /// Whether the record says that it stands still.
    pub(super) stopped: bool,
    /// Whether events put aside are to be tried again.
    pub(super) retry: bool,
}

/// How a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    CatchingUp,
    AtHead,
    Retrying,
    Stopped,
    Paused,
}

#[derive(Debug)]
pub(crate) struct Status {
    pub(super) lease: PartitionLease,
    since: Instant,
    inner: Mutex<Inner>,
}

#[derive(Clone, Debug)]
pub(super) struct Inner {
    /// Everything up to here is done, and will not be done again but after a crash of the store.
    pub(super) cursor: Position,
    /// What the store knows of that.
    pub(super) saved: Position,
    pub(super) doing: Doing,
    pub(super) failure: Option<Failure>,
    /// Events taken in, and events passed over.
    pub(super) handled: u64,
    pub(super) passed: u64,
}

impl Status {
    pub(super) fn new(lease: PartitionLease) -> Self {
        let inner = Inner {
            cursor: lease.position,
            saved: lease.position,
            doing: Doing::CatchingUp,
            failure: None,
            handled: 0,
            passed: 0,
        };
        Self { lease, since: Instant::now(), inner: Mutex::new(inner) }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics under it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Positions a second since the lease began.
    pub(super) fn rate(&self) -> f64 {
        let done = self.inner().cursor.get().saturating_sub(self.lease.position.get());
        let time = self.since.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // a rate for people
        let done = done as f64;
        done / time
    }
}
