//! Everything that a read store holds, guarded by one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cqrs_core::projection::store::{
    Capability, Cluster, ConsumerRecord, Failure, GenerationRecord, NodeRecord, ParkedEvent,
    Partition, PartitionLease, PartitionRecord, Swap,
};
use cqrs_core::{Position, Timestamp, projection::ConsumerName};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::models::{Models, Published};
use super::transaction::{Condition, GenerationChange};

/// The greatest lag at which a new generation makes the live one stop, in positions.
const SWAP_LAG: u64 = 1_000;

#[derive(Default)]
pub(super) struct State {
    /// The newest number of a lease or generation.
    last_number: u64,
    nodes: HashMap<Uuid, Node>,
    consumers: BTreeMap<ConsumerName, ConsumerState>,
}

struct Node {
    alive_until: Timestamp,
    capabilities: Vec<Capability>,
}

#[derive(Default)]
struct ConsumerState {
    paused: bool,
    live: Option<Generation>,
    building: Option<Generation>,
    published: Arc<Published>,
}

pub(super) struct Generation {
    number: u64,
    version: u32,
    /// Stopped, so that the generation that is being built can overtake it.
    frozen: bool,
    pub(super) models: Arc<Models>,
    /// Held by the transaction that changes the generation.
    pub(super) write_lock: Arc<Mutex<()>>,
    partitions: Vec<PartitionState>,
    /// Parked events by position.
    parked: BTreeMap<u64, Parked>,
}

/// The checkpoint of a partition and its newest lease.
#[derive(Clone, Default)]
struct PartitionState {
    position: Position,
    /// The number of the newest lease; older leases are lost.
    epoch: u64,
    owner: Option<Uuid>,
    failure: Option<Failure>,
}

struct Parked {
    number: u32,
    event: ParkedEvent,
}

impl Generation {
    fn position(&self) -> Position {
        self.partitions.iter().map(|partition| partition.position).min().unwrap_or_default()
    }
}

impl ConsumerState {
    fn generations(&self) -> impl Iterator<Item = (bool, &Generation)> {
        self.live.iter().map(|live| (true, live)).chain(self.building.iter().map(|b| (false, b)))
    }

    fn generation(&mut self, number: u64) -> Option<&mut Generation> {
        self.live.iter_mut().chain(&mut self.building).find(|found| found.number == number)
    }

    fn record(&self, name: &ConsumerName, alive: impl Fn(Uuid) -> bool) -> ConsumerRecord {
        let generations = self.generations().map(|(live, generation)| GenerationRecord {
            number: generation.number,
            version: generation.version,
            live,
            intact: true,
            partitions: (0..)
                .zip(&generation.partitions)
                .map(|(number, state)| {
                    let parked = generation.parked.values().filter(|p| p.number == number);
                    let waiting = parked.clone().filter(|p| p.event.discarded.is_none());
                    PartitionRecord {
                        number,
                        position: state.position,
                        owner: state.owner.filter(|owner| alive(*owner)),
                        failure: state.failure.clone(),
                        parked: waiting.count() as u64,
                        retry_requested: parked.clone().any(|p| p.event.retry_requested),
                    }
                })
                .collect(),
        });
        ConsumerRecord {
            name: name.clone(),
            paused: self.paused,
            generations: generations.collect(),
        }
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn is_alive(&self, node: Uuid, now: Timestamp) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.alive_until > now)
    }

    fn partition(&mut self, partition: &Partition) -> Option<&mut PartitionState> {
        let entry = self.consumers.get_mut(&partition.consumer)?;
        let generation = entry.generation(partition.generation)?;
        generation.partitions.get_mut(usize::try_from(partition.number).ok()?)
    }

    /// Returns the partition of a lease, unless the lease is lost.
    fn leased_partition(&mut self, lease: &PartitionLease) -> Option<&mut PartitionState> {
        self.partition(&lease.partition).filter(|state| state.epoch == lease.epoch)
    }

    /// Returns `true` if the checkpoint is at or after the position that the owner knows.
    pub(super) fn has_progress_of(&mut self, lease: &PartitionLease) -> bool {
        self.partition(&lease.partition).is_some_and(|state| state.position >= lease.position)
    }

    pub(super) fn published(&mut self, name: &ConsumerName) -> Arc<Published> {
        Arc::clone(&self.consumers.entry(name.clone()).or_default().published)
    }

    pub(super) fn heartbeat(
        &mut self,
        node: Uuid,
        alive_until: Timestamp,
        now: Timestamp,
        capabilities: &[Capability],
        progress: &[PartitionLease],
    ) -> Cluster {
        self.nodes.retain(|_, node| node.alive_until > now);
        self.nodes.insert(node, Node { alive_until, capabilities: capabilities.to_vec() });
        for lease in progress {
            if let Some(state) = self.leased_partition(lease) {
                state.position = state.position.max(lease.position);
            }
        }
        let nodes = self.nodes.iter();
        let nodes =
            nodes.map(|(id, node)| NodeRecord { id: *id, capabilities: node.capabilities.clone() });
        Cluster { nodes: nodes.collect(), consumers: self.inspect(None, now) }
    }

    pub(super) fn leave(&mut self, node: Uuid) {
        self.nodes.remove(&node);
        for entry in self.consumers.values_mut() {
            for generation in entry.live.iter_mut().chain(&mut entry.building) {
                for partition in &mut generation.partitions {
                    partition.owner = partition.owner.filter(|owner| *owner != node);
                }
            }
        }
    }

    pub(super) fn inspect(
        &self,
        consumer: Option<&ConsumerName>,
        now: Timestamp,
    ) -> Vec<ConsumerRecord> {
        let wanted = |name: &ConsumerName| consumer.is_none_or(|wanted| wanted == name);
        self.consumers
            .iter()
            // A view creates an entry for a consumer that does not exist yet.
            .filter(|(name, entry)| wanted(name) && entry.generations().next().is_some())
            .map(|(name, entry)| entry.record(name, |node| self.is_alive(node, now)))
            .collect()
    }

    pub(super) fn acquire(
        &mut self,
        node: Uuid,
        partition: &Partition,
        now: Timestamp,
    ) -> Option<PartitionLease> {
        let owner = self.partition(partition)?.owner;
        if owner.is_some_and(|owner| owner != node && self.is_alive(owner, now)) {
            return None;
        }
        let entry = self.consumers.get_mut(&partition.consumer)?;
        if entry.generation(partition.generation)?.frozen {
            return None;
        }
        let epoch = self.next_number();
        let state = self.partition(partition)?;
        state.owner = Some(node);
        state.epoch = epoch;
        Some(PartitionLease::new(partition.clone(), epoch, state.position))
    }

    pub(super) fn release(&mut self, lease: &PartitionLease) {
        if let Some(state) = self.leased_partition(lease) {
            state.owner = None;
        }
    }

    /// Returns the generation of a lease, unless the lease is lost.
    pub(super) fn leased(&mut self, lease: &PartitionLease) -> Option<&mut Generation> {
        self.leased_partition(lease)?;
        self.consumers.get_mut(&lease.partition.consumer)?.generation(lease.partition.generation)
    }

    /// Returns the live generation if it has this version, with its number and position.
    pub(super) fn live(
        &mut self,
        consumer: &ConsumerName,
        version: u32,
    ) -> Option<(u64, Position, &mut Generation)> {
        let live = self.consumers.get_mut(consumer)?.live.as_mut();
        let live = live.filter(|live| live.version == version)?;
        Some((live.number, live.position(), live))
    }

    pub(super) fn report(&mut self, lease: &PartitionLease, failure: Option<&Failure>) -> bool {
        let state = self.leased_partition(lease);
        state.map(|state| state.failure = failure.cloned()).is_some()
    }

    pub(super) fn set_paused(&mut self, consumer: &ConsumerName, paused: bool) -> bool {
        let Some(entry) = self.consumers.get_mut(consumer) else { return false };
        entry.paused = paused;
        if !paused {
            for generation in entry.live.iter_mut().chain(&mut entry.building) {
                generation.partitions.iter_mut().for_each(|partition| partition.failure = None);
            }
        }
        true
    }

    pub(super) fn parked(
        &mut self,
        consumer: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Vec<ParkedEvent> {
        let entry = self.consumers.get_mut(consumer);
        let Some(found) = entry.and_then(|entry| entry.generation(generation)) else {
            return Vec::new();
        };
        let parked = found.parked.values();
        let parked = parked.filter(|parked| number.is_none_or(|number| number == parked.number));
        parked.map(|parked| parked.event.clone()).collect()
    }

    pub(super) fn request_retry(&mut self, consumer: &ConsumerName, key: Option<&str>) -> u64 {
        let live = self.consumers.get_mut(consumer).and_then(|entry| entry.live.as_mut());
        let parked = live.into_iter().flat_map(|live| live.parked.values_mut());
        let wanted = parked.filter(|parked| {
            parked.event.discarded.is_none() && key.is_none_or(|key| key == parked.event.key)
        });
        wanted.map(|parked| parked.event.retry_requested = true).count() as u64
    }

    pub(super) fn retried(&mut self, lease: &PartitionLease, key: &str, failed: Option<&Failure>) {
        let number = lease.partition.number;
        let Some(generation) = self.leased(lease) else { return };
        let parked = generation.parked.values_mut();
        for parked in parked.filter(|p| p.number == number && p.event.key == key) {
            parked.event.retry_requested = false;
            if let Some(failure) = failed.filter(|t| t.position == parked.event.position) {
                parked.event.error = Some(failure.error.clone());
                parked.event.attempts = failure.attempts;
            }
        }
    }

    pub(super) fn discard(
        &mut self,
        consumer: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> bool {
        let live = self.consumers.get_mut(consumer).and_then(|entry| entry.live.as_mut());
        let Some(live) = live else { return false };
        let found = live.parked.get_mut(&position.get());
        let Some(found) = found.filter(|parked| parked.event.discarded.is_none()) else {
            return false;
        };
        found.event.discarded = Some(reason.to_owned());
        let key = found.event.key.clone();
        for parked in live.parked.values_mut().filter(|parked| parked.event.key == key) {
            parked.event.retry_requested = true;
        }
        true
    }

    /// Returns a number for a new generation, or `None` if one like it is being built.
    pub(super) fn new_generation(
        &mut self,
        consumer: &ConsumerName,
        version: u32,
        partitions: u32,
    ) -> Option<u64> {
        let building = self.consumers.get(consumer).and_then(|entry| entry.building.as_ref());
        let fits = building.is_some_and(|building| {
            building.version > version
                || building.version == version && building.partitions.len() == partitions as usize
        });
        if fits { None } else { Some(self.next_number()) }
    }

    pub(super) fn cancel(&mut self, consumer: &ConsumerName) -> bool {
        let Some(entry) = self.consumers.get_mut(consumer) else { return false };
        if let Some(live) = &mut entry.live {
            live.frozen = false;
        }
        entry.building.take().is_some()
    }

    /// Makes a generation live if it has caught up. Also returns the models that are no longer needed, to
    /// be dropped without the lock.
    pub(super) fn swap(
        &mut self,
        consumer: &ConsumerName,
        generation: u64,
    ) -> (Swap, Vec<Arc<Models>>) {
        let Some(entry) = self.consumers.get_mut(consumer) else { return (Swap::Gone, vec![]) };
        let Some(building) = entry.building.as_ref().filter(|b| b.number == generation) else {
            return (Swap::Gone, vec![]);
        };
        let built = building.position();
        if let Some(live) = &mut entry.live {
            let furthest = live.partitions.iter().map(|p| p.position).max().unwrap_or_default();
            if furthest > built {
                if furthest.get() - built.get() <= SWAP_LAG && !live.frozen {
                    live.frozen = true;
                    // All its leases are lost, and `acquire` grants no new ones.
                    for partition in &mut live.partitions {
                        partition.epoch = 0;
                    }
                }
                return (Swap::Behind, vec![]);
            }
        }
        let old = std::mem::replace(&mut entry.live, entry.building.take());
        let published = entry.live.as_ref().map(|live| Arc::clone(&live.models));
        let mut garbage: Vec<_> = entry.published.replace(published).into_iter().collect();
        garbage.extend(old.map(|old| old.models));
        (Swap::Done, garbage)
    }

    /// Returns `true` if the condition of a change holds.
    pub(super) fn accepts(&mut self, change: &GenerationChange) -> bool {
        match &change.condition {
            Condition::Leased { partition, epoch } => {
                self.partition(partition).is_some_and(|state| state.epoch == *epoch)
            }
            Condition::New { version, partitions, .. } => {
                let building = self.consumers.get(&change.projector);
                let building = building.and_then(|entry| entry.building.as_ref());
                building.is_none_or(|building| {
                    building.version < *version
                        || building.version == *version
                            && building.partitions.len() != *partitions as usize
                })
            }
            Condition::Inline => self
                .consumers
                .get(&change.projector)
                .and_then(|entry| entry.live.as_ref())
                .is_some_and(|live| live.number == change.generation),
        }
    }

    /// Makes a change that was accepted. Returns the models that are no longer needed, to be dropped
    /// without the lock.
    pub(super) fn apply(&mut self, change: GenerationChange) -> Vec<Arc<Models>> {
        let entry = self.consumers.entry(change.projector).or_default();
        let models = Arc::new(change.models);
        if let Condition::New { version, partitions, after } = change.condition {
            let begun = PartitionState { position: after, ..PartitionState::default() };
            let building = Generation {
                number: change.generation,
                version,
                frozen: false,
                models,
                write_lock: Arc::default(),
                partitions: vec![begun; partitions as usize],
                parked: BTreeMap::new(),
            };
            return entry.building.replace(building).map(|old| old.models).into_iter().collect();
        }
        let is_live = entry.live.as_ref().is_some_and(|live| live.number == change.generation);
        let published = Arc::clone(&entry.published);
        let Some(generation) = entry.generation(change.generation) else { return vec![models] };
        let mut garbage = vec![std::mem::replace(&mut generation.models, Arc::clone(&models))];
        if is_live {
            garbage.extend(published.replace(Some(models)));
        }
        let number = match change.condition {
            Condition::Leased { partition, .. } => {
                let at = usize::try_from(partition.number).unwrap_or(usize::MAX);
                if let Some(state) = generation.partitions.get_mut(at) {
                    state.position = state.position.max(change.through);
                    if change.through > Position::START {
                        state.failure = None;
                    }
                }
                partition.number
            }
            _ => {
                for state in &mut generation.partitions {
                    state.position = state.position.max(change.through);
                    // A worker that still has the lease would project the same events again.
                    (state.epoch, state.owner) = (0, None);
                }
                0
            }
        };
        for position in change.unparks {
            generation.parked.remove(&position.get());
        }
        for event in change.parks {
            generation.parked.insert(event.position.get(), Parked { number, event });
        }
        garbage
    }
}
