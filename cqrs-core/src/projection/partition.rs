//! The parts of read models, and the right to write to one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Position;
use crate::names::ConsumerName;

/// One part of a read model: a generation of a projector, and a part of its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The projector.
    pub consumer: ConsumerName,
    /// Which of its read models: each rebuild makes another. Never used twice in a store.
    pub generation: u64,
    /// Which part of the keys, from 0.
    pub number: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}/{}", self.consumer, self.generation, self.number)
    }
}

/// The right to write to a partition, until somebody else gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLease {
    /// The partition.
    pub partition: Partition,
    /// Tells this lease from all others ever given out by the store.
    pub epoch: u64,
    /// The checkpoint as its owner knows it: everything up to here is done.
    pub position: Position,
}

impl PartitionLease {
    /// From its parts.
    #[must_use]
    pub const fn new(partition: Partition, epoch: u64, position: Position) -> Self {
        Self { partition, epoch, position }
    }
}

/// What a node is able to run: a projector at a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Capability {
    /// The projector.
    pub consumer: ConsumerName,
    /// The version the node knows.
    pub version: u32,
    /// Only generations that are being built: the live one is kept up to date by appends.
    pub inline: bool,
}
