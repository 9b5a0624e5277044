//! What a read store keeps on record; one lock guards it all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cqrs_core::projection::{
    Capability, Cluster, ConsumerRecord, Failure, GenerationRecord, NodeRecord, ParkedEvent,
    Partition, PartitionLease, PartitionRecord, Swap,
};
use cqrs_core::{Position, Timestamp, projection::ConsumerName};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::models::{Models, Published};
use super::transaction::{Condition, GenerationChange};

/// How many positions a generation may be behind the live one when that is held back for it.
const CLOSE: u64 = 1_000;

#[derive(Default)]
pub(super) struct State {
    /// Leases and generations ever given out.
    numbers: u64,
    nodes: HashMap<Uuid, Node>,
    projectors: BTreeMap<ConsumerName, ConsumerState>,
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
    /// Held back, so that the one being built can get ahead of it.
    frozen: bool,
    pub(super) models: Arc<Models>,
    pub(super) write_lock: Arc<Mutex<()>>,
    partitions: Vec<PartitionState>,
    parked: BTreeMap<u64, Parked>,
}

/// What is kept of a partition.
#[derive(Clone, Default)]
struct PartitionState {
    position: Position,
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
                .map(|(number, kept)| {
                    let parked = generation.parked.values().filter(|p| p.number == number);
                    let waiting = parked.clone().filter(|p| p.event.discarded.is_none());
                    PartitionRecord {
                        number,
                        position: kept.position,
                        owner: kept.owner.filter(|owner| alive(*owner)),
                        failure: kept.failure.clone(),
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
        self.numbers += 1;
        self.numbers
    }

    fn is_alive(&self, node: Uuid, now: Timestamp) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.alive_until > now)
    }

    fn partition(&mut self, partition: &Partition) -> Option<&mut PartitionState> {
        let kept = self.projectors.get_mut(&partition.consumer)?;
        let generation = kept.generation(partition.generation)?;
        generation.partitions.get_mut(usize::try_from(partition.number).ok()?)
    }

    /// The partition, if the lease is its newest.
    fn under(&mut self, lease: &PartitionLease) -> Option<&mut PartitionState> {
        self.partition(&lease.partition).filter(|kept| kept.epoch == lease.epoch)
    }

    /// Whether the checkpoint is where the owner knows it, or further.
    pub(super) fn remembers(&mut self, lease: &PartitionLease) -> bool {
        self.partition(&lease.partition).is_some_and(|kept| kept.position >= lease.position)
    }

    pub(super) fn published(&mut self, name: &ConsumerName) -> Arc<Published> {
        Arc::clone(&self.projectors.entry(name.clone()).or_default().published)
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
            if let Some(kept) = self.under(lease) {
                kept.position = kept.position.max(lease.position);
            }
        }
        let nodes = self.nodes.iter();
        let nodes =
            nodes.map(|(id, node)| NodeRecord { id: *id, capabilities: node.capabilities.clone() });
        Cluster { nodes: nodes.collect(), consumers: self.inspect(None, now) }
    }

    pub(super) fn leave(&mut self, node: Uuid) {
        self.nodes.remove(&node);
        for kept in self.projectors.values_mut() {
            for generation in kept.live.iter_mut().chain(&mut kept.building) {
                for partition in &mut generation.partitions {
                    partition.owner = partition.owner.filter(|owner| *owner != node);
                }
            }
        }
    }

    pub(super) fn inspect(
        &self,
        projector: Option<&ConsumerName>,
        now: Timestamp,
    ) -> Vec<ConsumerRecord> {
        let wanted = |name: &ConsumerName| projector.is_none_or(|wanted| wanted == name);
        self.projectors
            .iter()
            // Somebody only looked at it.
            .filter(|(name, kept)| wanted(name) && kept.generations().next().is_some())
            .map(|(name, kept)| kept.record(name, |node| self.is_alive(node, now)))
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
        let kept = self.projectors.get_mut(&partition.consumer)?;
        if kept.generation(partition.generation)?.frozen {
            return None;
        }
        let epoch = self.next_number();
        let kept = self.partition(partition)?;
        kept.owner = Some(node);
        kept.epoch = epoch;
        Some(PartitionLease::new(partition.clone(), epoch, kept.position))
    }

    pub(super) fn release(&mut self, lease: &PartitionLease) {
        if let Some(kept) = self.under(lease) {
            kept.owner = None;
        }
    }

    /// The generation a lease is about, if the lease is its newest.
    pub(super) fn leased(&mut self, lease: &PartitionLease) -> Option<&mut Generation> {
        self.under(lease)?;
        self.projectors.get_mut(&lease.partition.consumer)?.generation(lease.partition.generation)
    }

    /// The live generation of a version.
    pub(super) fn live(
        &mut self,
        projector: &ConsumerName,
        version: u32,
    ) -> Option<(u64, Position, &mut Generation)> {
        let live = self.projectors.get_mut(projector)?.live.as_mut();
        let live = live.filter(|live| live.version == version)?;
        Some((live.number, live.position(), live))
    }

    pub(super) fn report(&mut self, lease: &PartitionLease, failure: Option<&Failure>) -> bool {
        let kept = self.under(lease);
        kept.map(|kept| kept.failure = failure.cloned()).is_some()
    }

    pub(super) fn set_paused(&mut self, projector: &ConsumerName, paused: bool) -> bool {
        let Some(kept) = self.projectors.get_mut(projector) else { return false };
        kept.paused = paused;
        if !paused {
            for generation in kept.live.iter_mut().chain(&mut kept.building) {
                generation.partitions.iter_mut().for_each(|partition| partition.failure = None);
            }
        }
        true
    }

    pub(super) fn parked(
        &mut self,
        projector: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Vec<ParkedEvent> {
        let kept = self.projectors.get_mut(projector);
        let Some(found) = kept.and_then(|kept| kept.generation(generation)) else {
            return Vec::new();
        };
        let parked = found.parked.values();
        let parked = parked.filter(|parked| number.is_none_or(|number| number == parked.number));
        parked.map(|parked| parked.event.clone()).collect()
    }

    pub(super) fn request_retry(&mut self, projector: &ConsumerName, key: Option<&str>) -> u64 {
        let live = self.projectors.get_mut(projector).and_then(|kept| kept.live.as_mut());
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
        projector: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> bool {
        let live = self.projectors.get_mut(projector).and_then(|kept| kept.live.as_mut());
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

    /// The number of a generation that may be begun.
    pub(super) fn new_generation(
        &mut self,
        projector: &ConsumerName,
        version: u32,
        partitions: u32,
    ) -> Option<u64> {
        let building = self.projectors.get(projector).and_then(|kept| kept.building.as_ref());
        let fits = building.is_some_and(|building| {
            building.version > version
                || building.version == version && building.partitions.len() == partitions as usize
        });
        if fits { None } else { Some(self.next_number()) }
    }

    pub(super) fn cancel(&mut self, projector: &ConsumerName) -> bool {
        let Some(kept) = self.projectors.get_mut(projector) else { return false };
        if let Some(live) = &mut kept.live {
            live.frozen = false;
        }
        kept.building.take().is_some()
    }

    /// Also returns what is not needed any more, to be dropped when the lock is free.
    pub(super) fn swap(
        &mut self,
        projector: &ConsumerName,
        generation: u64,
    ) -> (Swap, Vec<Arc<Models>>) {
        let Some(kept) = self.projectors.get_mut(projector) else { return (Swap::Gone, vec![]) };
        let Some(building) = kept.building.as_ref().filter(|b| b.number == generation) else {
            return (Swap::Gone, vec![]);
        };
        let built = building.position();
        if let Some(live) = &mut kept.live {
            let furthest = live.partitions.iter().map(|p| p.position).max().unwrap_or_default();
            if furthest > built {
                if furthest.get() - built.get() <= CLOSE && !live.frozen {
                    live.frozen = true;
                    // Its owners are done; nobody gets it any more.
                    for partition in &mut live.partitions {
                        partition.epoch = 0;
                    }
                }
                return (Swap::Behind, vec![]);
            }
        }
        let old = std::mem::replace(&mut kept.live, kept.building.take());
        let published = kept.live.as_ref().map(|live| Arc::clone(&live.models));
        let mut garbage: Vec<_> = kept.published.replace(published).into_iter().collect();
        garbage.extend(old.map(|old| old.models));
        (Swap::Done, garbage)
    }

    /// Whether a transaction may commit.
    pub(super) fn accepts(&mut self, change: &GenerationChange) -> bool {
        match &change.condition {
            Condition::Leased { partition, epoch } => {
                self.partition(partition).is_some_and(|kept| kept.epoch == *epoch)
            }
            Condition::New { version, partitions, .. } => {
                let building = self.projectors.get(&change.projector);
                let building = building.and_then(|kept| kept.building.as_ref());
                building.is_none_or(|building| {
                    building.version < *version
                        || building.version == *version
                            && building.partitions.len() != *partitions as usize
                })
            }
            Condition::Inline => self
                .projectors
                .get(&change.projector)
                .and_then(|kept| kept.live.as_ref())
                .is_some_and(|live| live.number == change.generation),
        }
    }

    /// Makes the changes of a transaction that was accepted. Returns what is not needed any more.
    pub(super) fn apply(&mut self, change: GenerationChange) -> Vec<Arc<Models>> {
        let kept = self.projectors.entry(change.projector).or_default();
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
            return kept.building.replace(building).map(|old| old.models).into_iter().collect();
        }
        let is_live = kept.live.as_ref().is_some_and(|live| live.number == change.generation);
        let published = Arc::clone(&kept.published);
        let Some(generation) = kept.generation(change.generation) else { return vec![models] };
        let mut garbage = vec![std::mem::replace(&mut generation.models, Arc::clone(&models))];
        if is_live {
            garbage.extend(published.replace(Some(models)));
        }
        let number = match change.condition {
            Condition::Leased { partition, .. } => {
                let at = usize::try_from(partition.number).unwrap_or(usize::MAX);
                if let Some(kept) = generation.partitions.get_mut(at) {
                    kept.position = kept.position.max(change.through);
                    if change.through > Position::START {
                        kept.failure = None;
                    }
                }
                partition.number
            }
            _ => {
                for kept in &mut generation.partitions {
                    kept.position = kept.position.max(change.through);
                    // A worker that still has it would write the same events once more.
                    (kept.epoch, kept.owner) = (0, None);
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
