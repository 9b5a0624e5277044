//! How projectors are doing, for programs and people.

use std::time::Duration;

use futures_util::StreamExt;
use uuid::Uuid;

use super::consumer::Consumer;
use super::node::Shared;
use super::partition::Partition;
use super::read_store::ReadStore;
use super::records::{ConsumerRecord, Failure, GenerationRecord};
use super::status::Doing;
use crate::names::ConsumerName;
use crate::store::LogRead;
use crate::{Position, ReadError};

/// What a projector is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConsumerState {
    /// Its first read model of this version is being built.
    Building,
    /// Behind the head of the log and on its way.
    CatchingUp,
    /// At the head of the log.
    Live,
    /// Something fails and is tried again.
    Retrying,
    /// A partition stands still at an event until somebody resumes the projector.
    Stopped,
    /// Somebody paused it.
    Paused,
    /// Readers see the read model of a later version, which this program does not know.
    Superseded,
}

/// How a projector is doing, over all processes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Its name.
    pub name: ConsumerName,
    /// The version this program knows.
    pub version: u32,
    /// What it is at.
    pub state: ConsumerState,
    /// Everything up to here is in the read model that readers see.
    pub position: Position,
    /// The head of the log.
    pub head: Position,
    /// How many positions it is behind.
    pub lag: u64,
    /// How long ago the first event was recorded that is not in the read model yet.
    pub lag_time: Duration,
    /// How many events are put aside.
    pub parked: u64,
    /// Events taken in and events passed over by this process since it runs the projector.
    pub handled: u64,
    /// See [`handled`](Self::handled).
    pub passed: u64,
    /// The worst of what is wrong with its partitions.
    pub failure: Option<Failure>,
    /// The partitions of the read model that readers see.
    pub partitions: Vec<PartitionHealth>,
    /// The read model that is being built, if there is one.
    pub rebuild: Option<Progress>,
}

/// How a partition is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionHealth {
    /// Its number, from 0.
    pub number: u32,
    /// Everything up to here is done.
    pub position: Position,
    /// The node that runs it, if one does.
    pub owner: Option<Uuid>,
    /// How many events are put aside.
    pub parked: u64,
    /// What is wrong with it.
    pub failure: Option<Failure>,
}

/// How far a read model has been built.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The version it is built for.
    pub version: u32,
    /// Positions done.
    pub done: u64,
    /// Positions there are.
    pub total: u64,
    /// Positions a second; 0 when it is not built in this process.
    pub rate: f64,
}

impl<S: ReadStore> Shared<S> {
    /// How a projector is doing, from its record and from what runs here.
    pub(super) async fn health(
        &self,
        projector: &dyn Consumer<S>,
        record: Option<&ConsumerRecord>,
        head: Position,
    ) -> Result<Health, ReadError> {
        let version = projector.version();
        let live = record.and_then(ConsumerRecord::live);
        let rebuild = record.and_then(ConsumerRecord::building);
        let partitions = match (record, live) {
            (Some(record), Some(live)) => self.partitions(record, live),
            _ => Vec::new(),
        };
        let position = partitions.iter().map(|partition| partition.position).min();
        let position = position.unwrap_or_default();
        let built = record.zip(rebuild).map(|(record, building)| {
            (self.partitions(record, building), self.rate(record, building), building)
        });
        let failure = partitions
            .iter()
            .chain(built.iter().flat_map(|(partitions, ..)| partitions))
            .filter_map(|partition| partition.failure.clone())
            .max_by_key(|failure| failure.stopped);
        let lag = head.get().saturating_sub(position.get());
        let lag_time =
            if lag == 0 { Duration::ZERO } else { self.lag_time(projector, position).await? };
        let state = match (live, &failure) {
            (Some(live), _) if live.version > version => ConsumerState::Superseded,
            _ if record.is_some_and(|record| record.paused) => ConsumerState::Paused,
            (_, Some(failure)) if failure.stopped => ConsumerState::Stopped,
            (_, Some(_)) => ConsumerState::Retrying,
            (Some(live), None) if live.version == version => {
                if lag == 0 {
                    ConsumerState::Live
                } else {
                    ConsumerState::CatchingUp
                }
            }
            _ => ConsumerState::Building,
        };
        let (mut handled, mut passed) = (0, 0);
        for (partition, status) in &*self.statuses() {
            if partition.consumer == *projector.name() {
                let inner = status.inner();
                handled += inner.handled;
                passed += inner.passed;
            }
        }
        Ok(Health {
            name: projector.name().clone(),
            version,
            state,
            position,
            head,
            lag,
            lag_time,
            parked: partitions.iter().map(|partition| partition.parked).sum(),
            handled,
            passed,
            failure,
            partitions,
            rebuild: built.map(|(partitions, rate, building)| Progress {
                version: building.version,
                done: partitions.iter().map(|p| p.position.get()).min().unwrap_or(0),
                total: head.get(),
                rate,
            }),
        })
    }

    fn partitions(
        &self,
        record: &ConsumerRecord,
        generation: &GenerationRecord,
    ) -> Vec<PartitionHealth> {
        let statuses = self.statuses();
        let partitions = record.partitions(generation).map(|(partition, record)| {
            let here = statuses.get(&partition).map(|status| status.inner().clone());
            let position = here.as_ref().map_or(Position::START, |here| here.cursor);
            let failure = match here {
                Some(here) if here.doing == Doing::Stopped => {
                    record.failure.clone().or(here.failure)
                }
                Some(here) => here.failure,
                None => record.failure.clone(),
            };
            PartitionHealth {
                number: record.number,
                position: position.max(record.position),
                owner: record.owner,
                parked: record.parked,
                failure,
            }
        });
        partitions.collect()
    }

    /// Positions a second, of the slowest partition here.
    fn rate(&self, record: &ConsumerRecord, generation: &GenerationRecord) -> f64 {
        let statuses = self.statuses();
        let rates = record
            .partitions(generation)
            .filter_map(|(partition, _): (Partition, _)| Some(statuses.get(&partition)?.rate()));
        rates.min_by(f64::total_cmp).unwrap_or(0.0)
    }

    async fn lag_time(
        &self,
        projector: &dyn Consumer<S>,
        position: Position,
    ) -> Result<Duration, ReadError> {
        let read = LogRead::forward().filter(projector.filter()).after(position).limit(1);
        let mut pages = self.events.read_log(read);
        let page = match pages.next().await {
            // It cannot be read, which the failure of the projector says better.
            Some(Err(ReadError::Decode(_))) | None => return Ok(Duration::ZERO),
            Some(page) => page?,
        };
        let first = page.events.first().map(|event| event.recorded_at);
        Ok(first.map_or(Duration::ZERO, |first| self.clock.now().since(first)))
    }
}
