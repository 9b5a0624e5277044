//! The health of consumers.

use std::time::Duration;

use uuid::Uuid;

use super::store::{ConsumerName, Failure};
use crate::Position;

/// What a consumer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConsumerState {
    /// It is reading the log for the first time, or for a new version.
    Building,
    /// It handles events that were appended before now.
    CatchingUp,
    /// It has handled every event in the log.
    Live,
    /// It retries after a failure.
    Retrying,
    /// A partition is stopped at an event until an operator resumes the consumer.
    Stopped,
    /// An operator paused it.
    Paused,
    /// The live generation has a later version than this program, which does not run it.
    Superseded,
}

/// The health of a consumer on all nodes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Its name.
    pub name: ConsumerName,
    /// The version in this program.
    pub version: u32,
    /// What it is doing.
    pub state: ConsumerState,
    /// Every event up to here is handled by the live generation.
    pub position: Position,
    /// The head of the log.
    pub head: Position,
    /// The number of positions from `position` to `head`.
    pub lag: u64,
    /// The age of the first event after `position` that it handles. Zero if there is none.
    pub lag_time: Duration,
    /// The number of parked events.
    pub parked: u64,
    /// The number of events that this program has handled since it leased the partitions.
    pub handled: u64,
    /// The number of positions that this program has skipped since then, because their events do
    /// not concern the consumer.
    pub passed: u64,
    /// The most severe failure of its partitions.
    pub failure: Option<Failure>,
    /// The partitions of the live generation.
    pub partitions: Vec<PartitionHealth>,
    /// The progress of the generation that is being built, if there is one.
    pub rebuild: Option<Progress>,
}

/// The health of a partition.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionHealth {
    /// Its number, from 0.
    pub number: u32,
    /// Every event up to here is handled.
    pub position: Position,
    /// The node that runs it, if one does.
    pub owner: Option<Uuid>,
    /// The number of parked events.
    pub parked: u64,
    /// Its failure, until it has passed.
    pub failure: Option<Failure>,
}

/// The progress of a generation that is being built.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The version it is built for.
    pub version: u32,
    /// The number of positions done.
    pub done: u64,
    /// The number of positions in the log.
    pub total: u64,
    /// Positions per second; 0 if this program does not build it.
    pub rate: f64,
}
