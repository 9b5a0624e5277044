//! What read stores keep on record about projectors.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::partition::{Capability, Partition};
use crate::names::ConsumerName;
use crate::{Position, Timestamp};

/// A node that is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id, made anew at each start.
    pub id: Uuid,
    /// What it can run.
    pub capabilities: Vec<Capability>,
}

/// Everything a node has to know about the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The nodes that are alive.
    pub nodes: Vec<NodeRecord>,
    /// All projectors.
    pub consumers: Vec<ConsumerRecord>,
}

/// A projector and its generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerRecord {
    /// Its name.
    pub name: ConsumerName,
    /// Whether somebody paused it.
    pub paused: bool,
    /// The live generation and the one being built, as far as there are any.
    pub generations: Vec<GenerationRecord>,
}

impl ConsumerRecord {
    /// The generation readers see.
    #[must_use]
    pub fn live(&self) -> Option<&GenerationRecord> {
        self.generations.iter().find(|generation| generation.live)
    }

    /// The generation that is being built.
    #[must_use]
    pub fn building(&self) -> Option<&GenerationRecord> {
        self.generations.iter().find(|generation| !generation.live)
    }

    /// The partitions of a generation, as they are leased.
    pub(super) fn partitions<'r>(
        &'r self,
        generation: &'r GenerationRecord,
    ) -> impl Iterator<Item = (Partition, &'r PartitionRecord)> {
        generation.partitions.iter().map(|record| {
            let (consumer, number) = (self.name.clone(), record.number);
            (Partition { consumer, generation: generation.number, number }, record)
        })
    }
}

/// One read model of a projector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// Its number.
    pub number: u64,
    /// The version of the projector that writes it.
    pub version: u32,
    /// Whether readers see it.
    pub live: bool,
    /// Whether its tables are there.
    pub intact: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionRecord>,
}

impl GenerationRecord {
    /// Everything up to here is in the read model.
    #[must_use]
    pub fn position(&self) -> Position {
        self.partitions.iter().map(|partition| partition.position).min().unwrap_or_default()
    }
}

/// One part of a read model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Its number, from 0.
    pub number: u32,
    /// The checkpoint: everything up to here is done.
    pub position: Position,
    /// The node that has it, if it is alive.
    pub owner: Option<Uuid>,
    /// What is wrong with it.
    pub failure: Option<Failure>,
    /// How many events are put aside.
    pub parked: u64,
    /// Whether some of them are to be tried again.
    pub retry_requested: bool,
}

/// What is wrong with a partition, or with an event put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The event that fails; the checkpoint, when it is not about an event.
    pub position: Position,
    /// The error and what caused it.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it stands still until somebody resumes it. Otherwise it is tried again.
    pub stopped: bool,
}

/// An event that was put aside: by reference, its content stays in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Where it stands in the log.
    pub position: Position,
    /// What it is about. Later events of the same key wait behind it.
    pub key: String,
    /// What went wrong; `None` for one that only waits.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was put aside.
    pub parked_at: Timestamp,
    /// Whether it is to be tried again.
    pub retry_requested: bool,
    /// Why it was given up, if it was.
    pub discarded: Option<String>,
}
