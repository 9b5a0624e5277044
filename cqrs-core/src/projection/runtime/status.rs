//! The status of a partition that runs here, and what its node asks of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Position;
use crate::projection::store::{Failure, PartitionLease};

/// What a node asks of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// The heartbeat whose answer it was derived from.
    pub(in crate::projection) heartbeat: u64,
    /// Whether to finish the current transaction and end.
    pub(crate) stop: bool,
    pub(crate) paused: bool,
    /// Whether readers see the generation.
    pub(crate) live: bool,
    /// Whether the record of the partition says that it is stopped after a failure.
    pub(in crate::projection) stopped: bool,
    /// Whether to retry parked events.
    pub(in crate::projection) retry: bool,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::projection) enum Activity {
    CatchingUp,
    AtHead,
    Retrying,
    Stopped,
    Paused,
}

#[derive(Debug)]
pub(crate) struct Status {
    pub(in crate::projection) lease: PartitionLease,
    since: Instant,
    inner: Mutex<Inner>,
}

#[derive(Clone, Debug)]
pub(in crate::projection) struct Inner {
    /// Every event up to here is done. None of them is handled again unless the store crashes.
    pub(in crate::projection) cursor: Position,
    /// The part of that which the store has saved.
    pub(in crate::projection) saved: Position,
    pub(in crate::projection) activity: Activity,
    pub(in crate::projection) failure: Option<Failure>,
    /// The number of events handled, and of positions skipped.
    pub(in crate::projection) handled: u64,
    pub(in crate::projection) passed: u64,
}

impl Status {
    pub(super) fn new(lease: PartitionLease) -> Self {
        let inner = Inner {
            cursor: lease.position,
            saved: lease.position,
            activity: Activity::CatchingUp,
            failure: None,
            handled: 0,
            passed: 0,
        };
        Self { lease, since: Instant::now(), inner: Mutex::new(inner) }
    }

    pub(in crate::projection) fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is locked.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of positions per second since the partition was leased.
    pub(super) fn rate(&self) -> f64 {
        let done = self.inner().cursor.get().saturating_sub(self.lease.position.get());
        let time = self.since.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // for display
        let done = done as f64;
        done / time
    }
}
