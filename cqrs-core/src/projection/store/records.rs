//! What a read store records about nodes, consumers and their partitions.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::partition::{Capability, Partition};
use crate::names::ConsumerName;
use crate::{Position, Timestamp};

/// A node that is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id, a new one at each start.
    pub id: Uuid,
    /// What it can run.
    pub capabilities: Vec<Capability>,
}

/// All nodes and consumers that share a read store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The nodes that are alive.
    pub nodes: Vec<NodeRecord>,
    /// All consumers.
    pub consumers: Vec<ConsumerRecord>,
}

/// A consumer and its generations.
///
/// ```
/// use cqrs_core::projection::store::{ConsumerName, ConsumerRecord, GenerationRecord};
///
/// let live = GenerationRecord {
///     number: 1,
///     version: 1,
///     live: true,
///     intact: true,
///     partitions: Vec::new(),
/// };
/// let name = ConsumerName::new("accounts")?;
/// let record = ConsumerRecord { name, paused: false, generations: vec![live.clone()] };
/// assert_eq!(record.live(), Some(&live));
/// assert_eq!(record.building(), None);
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerRecord {
    /// Its name.
    pub name: ConsumerName,
    /// Whether an operator paused it.
    pub paused: bool,
    /// The live generation and the one being built: none, one or both.
    pub generations: Vec<GenerationRecord>,
}

impl ConsumerRecord {
    /// Returns the live generation, which readers see.
    #[must_use]
    pub fn live(&self) -> Option<&GenerationRecord> {
        self.generations.iter().find(|generation| generation.live)
    }

    /// Returns the generation that is being built.
    #[must_use]
    pub fn building(&self) -> Option<&GenerationRecord> {
        self.generations.iter().find(|generation| !generation.live)
    }

    /// Returns the partitions of a generation with their records.
    pub(in crate::projection) fn partitions<'r>(
        &'r self,
        generation: &'r GenerationRecord,
    ) -> impl Iterator<Item = (Partition, &'r PartitionRecord)> {
        generation.partitions.iter().map(|record| {
            let (consumer, number) = (self.name.clone(), record.number);
            (Partition { consumer, generation: generation.number, number }, record)
        })
    }
}

/// One generation of a consumer: its rows and its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// Its number.
    pub number: u64,
    /// The version of the consumer that writes it.
    pub version: u32,
    /// Whether readers see it.
    pub live: bool,
    /// Whether its tables exist.
    pub intact: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionRecord>,
}

impl GenerationRecord {
    /// Returns the lowest checkpoint of its partitions: every event up to it is done.
    #[must_use]
    pub fn position(&self) -> Position {
        self.partitions.iter().map(|partition| partition.position).min().unwrap_or_default()
    }
}

/// A partition of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Its number, from 0.
    pub number: u32,
    /// The checkpoint: every event up to it is done.
    pub position: Position,
    /// The node that leases it, if that node is alive.
    pub owner: Option<Uuid>,
    /// The failure that was last reported for it, until it has passed.
    pub failure: Option<Failure>,
    /// The number of parked events.
    pub parked: u64,
    /// Whether an operator asked to retry some of them.
    pub retry_requested: bool,
}

/// Why a partition makes no progress, or why an event was parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The position of the event that fails, or the checkpoint if no event is the cause.
    pub position: Position,
    /// The error and its causes.
    pub error: String,
    /// The number of attempts so far.
    pub attempts: u32,
    /// Whether the partition is stopped until an operator resumes the consumer. Otherwise it
    /// retries.
    pub stopped: bool,
}

/// A parked event: a reference to it, its content stays in the log.
#[doc(alias = "dead letter")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Its position in the log.
    pub position: Position,
    /// Its key. Later events of the same key are parked too.
    pub key: String,
    /// Why it failed, or `None` if it was parked only because an earlier event of its key is.
    pub error: Option<String>,
    /// The number of attempts so far.
    pub attempts: u32,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// Whether an operator asked to retry it.
    pub retry_requested: bool,
    /// Why an operator discarded it, if one did.
    pub discarded: Option<String>,
}
