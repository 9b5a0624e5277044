//! What a lost connection makes doubtful.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts lost connections.
///
/// Behind the next connection may stand another server, a standby that never saw the last
/// transactions of the old one. So whatever this process remembers of the database carries the
/// epoch it was learnt in, and counts for nothing in the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch(Arc<AtomicU64>);

impl Epoch {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn connection_lost(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
