//! Partitions and their leases.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Position;
use crate::names::ConsumerName;

/// A part of a consumer's work: one generation, and the keys whose hash falls into the part.
///
/// ```
/// use cqrs_core::projection::store::{ConsumerName, Partition};
///
/// let consumer = ConsumerName::new("accounts")?;
/// let partition = Partition { consumer, generation: 3, number: 0 };
/// assert_eq!(partition.to_string(), "accounts#3/0");
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The generation: each rebuild creates one. A store never uses a number twice.
    pub generation: u64,
    /// The number of the part, from 0.
    pub number: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}/{}", self.consumer, self.generation, self.number)
    }
}

/// The right to write to a partition, until a newer lease of it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLease {
    /// The partition.
    pub partition: Partition,
    /// Distinguishes this lease from all others that the store ever granted.
    pub epoch: u64,
    /// The checkpoint as its owner last read or wrote it: every event up to here is done.
    pub position: Position,
}

impl PartitionLease {
    /// Creates a lease. Only read stores need this.
    #[must_use]
    pub const fn new(partition: Partition, epoch: u64, position: Position) -> Self {
        Self { partition, epoch, position }
    }
}

/// What a node can run: a consumer at a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Capability {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The version.
    pub version: u32,
    /// Whether the node runs only generations that are being built, because appends through an
    /// [`InlineStore`](crate::projection::InlineStore) keep the live one up to date.
    pub inline: bool,
}
