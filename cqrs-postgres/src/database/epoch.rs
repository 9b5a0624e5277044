//! When what this process remembers of the database becomes doubtful.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts lost connections.
///
/// The next connection may lead to another server: a standby that never received the last
/// transactions of the old one. Everything this process remembers of the database therefore
/// carries the epoch in which it was read, and is discarded in the next.
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
