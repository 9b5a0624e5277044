//! Which partition an event belongs to.

use std::borrow::Cow;

use crate::projection::read_model::Key;
use crate::{DecodeError, Position, Recorded, RecordedEvent};

/// The events of a consumer that belong to one of its partitions.
pub(in crate::projection) struct PartitionKeys<E> {
    key: Key<E>,
    partitions: u32,
    number: u32,
}

impl<E> Clone for PartitionKeys<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for PartitionKeys<E> {}

impl<E> PartitionKeys<E> {
    pub(in crate::projection) const fn new(key: Key<E>, partitions: u32, number: u32) -> Self {
        Self { key, partitions, number }
    }

    /// Returns the key of an event. For a stored event that an upcaster splits, only the key of
    /// its first part counts.
    pub(in crate::projection) fn key<'e>(&self, event: &'e Recorded<E>) -> Cow<'e, str> {
        self.key.of(event)
    }

    /// Returns `false` if an event belongs to another partition, as far as its stream decides it.
    pub(super) fn may_contain(&self, event: &RecordedEvent) -> bool {
        !self.key.is_stream() || self.contains(event.stream.as_str())
    }

    /// Keeps the events that belong to the partition. All parts of a stored event belong to the
    /// partition of the first one.
    pub(in crate::projection) fn retain(&self, mut events: Vec<Recorded<E>>) -> Vec<Recorded<E>> {
        if !self.key.is_stream() && self.partitions > 1 {
            let mut last = (Position::START, false);
            events.retain(|event| {
                if event.position != last.0 {
                    last = (event.position, self.contains(&self.key(event)));
                }
                last.1
            });
        }
        events
    }

    /// Returns `true` if an event that cannot be decoded belongs to the partition. Its key is
    /// unknown, so its stream decides.
    pub(in crate::projection) fn contains_undecodable(&self, error: &DecodeError) -> bool {
        self.contains(error.stream.as_str())
    }

    fn contains(&self, key: &str) -> bool {
        partition_of(key, self.partitions) == self.number
    }
}

/// Hashes a key to a partition: 64-bit FNV-1a, then the finalizer of MurmurHash3. It must never
/// change, because nodes of different versions share the work.
fn partition_of(key: &str, partitions: u32) -> u32 {
    let mut hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    u32::try_from((u128::from(hash) * u128::from(partitions.max(1))) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_evenly_and_never_change_their_partition() {
        for partitions in [1, 2, 3, 8] {
            let mut counts = vec![0_u32; partitions as usize];
            for key in 0..8_000 {
                counts[partition_of(&format!("account-{key}"), partitions) as usize] += 1;
            }
            let fair = 8_000 / partitions;
            let even = counts.iter().all(|count| count.abs_diff(fair) < fair / 5);
            assert!(even, "{counts:?}");
        }
        let known = ["account-1", "account-2", "", "🦀"].map(|key| partition_of(key, 8));
        assert_eq!(known, KNOWN);
    }

    /// Computed by an independent implementation.
    const KNOWN: [u32; 4] = [2, 0, 7, 4];
}
