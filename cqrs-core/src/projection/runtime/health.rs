//! Computes the health of a consumer from its record and from what runs here.

use std::time::Duration;

use futures_util::StreamExt;

use super::consumer::Consumer;
use super::shared::Shared;
use super::status::Activity;
use crate::names::ConsumerName;
use crate::projection::health::{ConsumerState, Health, PartitionHealth, Progress};
use crate::projection::store::{ConsumerRecord, Failure, GenerationRecord, ReadStore};
use crate::store::LogRead;
use crate::{Position, ReadError};

pub(super) async fn health<S: ReadStore>(
    shared: &Shared<S>,
    consumer: &dyn Consumer<S>,
    record: Option<&ConsumerRecord>,
    head: Position,
) -> Result<Health, ReadError> {
    let (name, version) = (consumer.name(), consumer.version());
    let live = record.and_then(ConsumerRecord::live);
    let partitions = record.zip(live).map(|(record, live)| shared.partitions(record, live));
    let partitions = partitions.unwrap_or_default();
    let building = record.and_then(|record| Some((record, record.building()?)));
    let built = building.map(|(record, building)| shared.partitions(record, building));
    let position = partitions.iter().map(|partition| partition.position).min();
    let position = position.unwrap_or_default();
    let lag = head.get().saturating_sub(position.get());
    let lag_time =
        if lag == 0 { Duration::ZERO } else { shared.lag_time(consumer, position).await? };
    let failure = partitions
        .iter()
        .chain(built.iter().flatten())
        .filter_map(|partition| partition.failure.clone())
        .max_by_key(|failure| failure.stopped);
    let (handled, passed) = shared.counts(name);
    Ok(Health {
        name: name.clone(),
        version,
        state: state(record, version, failure.as_ref(), lag),
        position,
        head,
        lag,
        lag_time,
        parked: partitions.iter().map(|partition| partition.parked).sum(),
        handled,
        passed,
        failure,
        partitions,
        rebuild: building.zip(built).map(|((record, building), built)| Progress {
            version: building.version,
            done: built.iter().map(|p| p.position.get()).min().unwrap_or(0),
            total: head.get(),
            rate: shared.rate(record, building),
        }),
    })
}

fn state(
    record: Option<&ConsumerRecord>,
    version: u32,
    failure: Option<&Failure>,
    lag: u64,
) -> ConsumerState {
    match (record.and_then(ConsumerRecord::live), failure) {
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
    }
}

impl<S: ReadStore> Shared<S> {
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
                Some(here) if here.activity == Activity::Stopped => {
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

    /// Returns the number of events handled and of positions skipped here.
    fn counts(&self, name: &ConsumerName) -> (u64, u64) {
        let (mut handled, mut passed) = (0, 0);
        for (partition, status) in &*self.statuses() {
            if partition.consumer == *name {
                let inner = status.inner();
                handled += inner.handled;
                passed += inner.passed;
            }
        }
        (handled, passed)
    }

    /// Returns the positions per second of the slowest partition that runs here.
    fn rate(&self, record: &ConsumerRecord, generation: &GenerationRecord) -> f64 {
        let statuses = self.statuses();
        let rates = record
            .partitions(generation)
            .filter_map(|(partition, _)| Some(statuses.get(&partition)?.rate()));
        rates.min_by(f64::total_cmp).unwrap_or(0.0)
    }

    async fn lag_time(
        &self,
        consumer: &dyn Consumer<S>,
        position: Position,
    ) -> Result<Duration, ReadError> {
        let read = LogRead::forward().filter(consumer.filter()).after(position).limit(1);
        let mut pages = self.events.read_log(read);
        let page = match pages.next().await {
            // The failure of the consumer reports an event that cannot be decoded.
            Some(Err(ReadError::Decode(_))) | None => return Ok(Duration::ZERO),
            Some(page) => page?,
        };
        let first = page.events.first().map(|event| event.recorded_at);
        Ok(first.map_or(Duration::ZERO, |first| self.clock.now().since(first)))
    }
}
