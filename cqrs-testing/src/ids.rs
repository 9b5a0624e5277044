//! Ids that are the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cqrs_core::app::IdGenerator;
use uuid::Uuid;

/// Generates UUIDs that increase, never repeat and depend only on the seed. Clones share the
/// sequence.
///
/// ```
/// use cqrs_core::app::IdGenerator;
/// use cqrs_testing::SeededIds;
///
/// let (one, again) = (SeededIds::new(7), SeededIds::new(7));
/// assert_eq!(one.next(), again.next());
/// assert_ne!(one.next(), SeededIds::new(8).next());
/// ```
#[derive(Clone, Debug)]
pub struct SeededIds {
    seed: u64,
    count: Arc<AtomicU64>,
}

impl SeededIds {
    /// Starts the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, count: Arc::default() }
    }
}

impl IdGenerator for SeededIds {
    fn next(&self) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        // The count comes first, so the ids increase; version 8 UUIDs have custom contents.
        let bytes = (u128::from(count) << 80) | u128::from(self.seed);
        uuid::Builder::from_custom_bytes(bytes.to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_and_do_not_repeat() {
        let ids = SeededIds::new(u64::MAX);
        let made: Vec<_> = (0..10_000).map(|_| ids.next()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
