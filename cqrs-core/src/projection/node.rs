//! A process at work: it says that it is alive, and runs its share of the partitions.
//!
//! One heartbeat does for all projectors of a process, however many there are: it renews what the
//! node owns, saves how far idle partitions have got, and brings back what the others do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::assign::share_of;
use super::consumer::Consumer;
use super::partition::{Capability, Partition, PartitionLease};
use super::read_store::ReadStore;
use super::records::{Cluster, ConsumerRecord, GenerationRecord, PartitionRecord};
use super::status::{Control, Doing, Status};
use crate::names::ConsumerName;
use crate::store::{EventStore, LogRead};
use crate::{Clock, Event, Position, ReadError, Recorded, StoreError};

/// What the node, its partitions and its handles share.
pub(crate) struct Shared<S: ReadStore> {
    pub(super) events: Arc<dyn EventStore>,
    pub(crate) read: S,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) node: Uuid,
    pub(super) lease: Duration,
    pub(crate) poll_interval: Duration,
    pub(super) projectors: Vec<Arc<dyn Consumer<S>>>,
    /// As it was at the last heartbeat.
    pub(super) cluster: RwLock<Cluster>,
    /// The partitions at work here.
    pub(super) statuses: Mutex<HashMap<Partition, Arc<Status>>>,
    /// Counts heartbeats, each before it is sent.
    pub(super) beat: AtomicU64,
    /// Asks for a heartbeat now.
    pub(super) nudge: Notify,
    /// Told whenever a heartbeat was answered, or not, and when something was handled.
    pub(crate) progressed: watch::Sender<u64>,
    /// The head as it was looked up for all, in case the store's hints get lost.
    pub(super) looked: watch::Sender<Position>,
    pub(super) stopping: watch::Sender<bool>,
    /// Whether the node has ended.
    pub(super) left: AtomicBool,
}

impl<S: ReadStore> Shared<S> {
    pub(super) fn statuses(&self) -> MutexGuard<'_, HashMap<Partition, Arc<Status>>> {
        // Nothing panics under it.
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, name: &ConsumerName) -> Option<&Arc<dyn Consumer<S>>> {
        self.projectors.iter().find(|projector| projector.name() == name)
    }

    /// What was known at the last heartbeat.
    pub(super) fn record(&self, name: &ConsumerName) -> Option<ConsumerRecord> {
        let cluster = self.cluster.read().unwrap_or_else(PoisonError::into_inner);
        cluster.consumers.iter().find(|record| record.name == *name).cloned()
    }

    /// How far a partition that is at work here has got.
    pub(crate) fn cursor(&self, partition: &Partition) -> Option<Position> {
        self.statuses().get(partition).map(|status| status.inner().cursor)
    }

    /// The newest position of the log.
    pub(crate) async fn head(&self) -> Result<Position, StoreError> {
        self.events.head().await
    }

    /// The event at a position, in all its parts.
    pub(crate) async fn read_one<E: Event>(
        &self,
        position: Position,
    ) -> Result<Vec<Recorded<E>>, ReadError> {
        let filter = crate::Filter::types(E::TYPES);
        let before = Position::new(position.get().saturating_sub(1));
        let mut pages =
            self.events.read_log(LogRead::forward().filter(filter).after(before).page_size(1));
        let mut events = Vec::new();
        if let Some(page) = pages.next().await {
            for event in page?.events {
                if event.position == position {
                    events.push(event.into_decoded()?);
                }
            }
        }
        Ok(events)
    }
}

/// A partition at work.
struct Running {
    control: watch::Sender<Control>,
    task: JoinHandle<()>,
}

pub(super) struct Node<S: ReadStore> {
    shared: Arc<Shared<S>>,
    running: HashMap<Partition, Running>,
}

impl<S: ReadStore> Node<S> {
    pub(super) fn new(shared: Arc<Shared<S>>) -> Self {
        Self { shared, running: HashMap::new() }
    }

    /// Runs until the node is told to stop, then ends its partitions and leaves.
    pub(super) async fn run(mut self) {
        let mut stopping = self.shared.stopping.subscribe();
        let looker = tokio::spawn(look(Arc::clone(&self.shared))).abort_handle();
        loop {
            self.beat().await;
            tokio::select! {
                () = tokio::time::sleep(self.shared.lease / 3) => {}
                () = self.shared.nudge.notified() => {}
                // The sender is in `shared`, which lives as long as this.
                _ = stopping.wait_for(|stop| *stop) => break,
            }
        }
        looker.abort();
        self.leave().await;
    }

    async fn beat(&mut self) {
        let shared = Arc::clone(&self.shared);
        let beat = shared.beat.fetch_add(1, Ordering::AcqRel) + 1;
        self.forget_ended();
        let capabilities: Vec<Capability> = shared
            .projectors
            .iter()
            .map(|projector| Capability {
                consumer: projector.name().clone(),
                version: projector.version(),
                inline: projector.inline(),
            })
            .collect();
        let progress = self.unsaved();
        let saved = self.saved();
        let answer =
            shared.read.heartbeat(shared.node, shared.lease, &capabilities, &progress).await;
        match answer {
            Ok(cluster) => {
                for lease in progress {
                    if let Some(status) = shared.statuses().get(&lease.partition) {
                        let mut inner = status.inner();
                        inner.saved = inner.saved.max(lease.position);
                    }
                }
                self.forget_what_was_forgotten(&saved, &cluster);
                self.rebalance(beat, &cluster).await;
                *shared.cluster.write().unwrap_or_else(PoisonError::into_inner) = cluster;
            }
            Err(error) => {
                tracing::warn!(node = %shared.node, %error, "heartbeat not answered");
            }
        }
        shared.progressed.send_modify(|count| *count += 1);
    }

    fn forget_ended(&mut self) {
        let mut statuses = self.shared.statuses();
        self.running.retain(|partition, running| {
            let runs = !running.task.is_finished();
            if !runs {
                statuses.remove(partition);
            }
            runs
        });
    }

    /// The checkpoints as they are known here.
    fn saved(&self) -> Vec<PartitionLease> {
        let statuses = self.shared.statuses();
        let saved = statuses.values().map(|status| PartitionLease {
            position: status.inner().saved,
            ..status.lease.clone()
        });
        saved.collect()
    }

    /// A store that knows less than it once said was restored, or its server was replaced by one
    /// that never heard of the last commits. Who works on then would leave out what was lost.
    fn forget_what_was_forgotten(&self, saved: &[PartitionLease], cluster: &Cluster) {
        for projector in &cluster.consumers {
            for generation in &projector.generations {
                for (partition, record) in projector.partitions(generation) {
                    let known = saved.iter().find(|lease| lease.partition == partition);
                    if let Some(known) = known.filter(|known| record.position < known.position)
                        && let Some(running) = self.running.get(&partition)
                    {
                        tracing::error!(
                            %partition, known = %known.position, now = %record.position,
                            "the read store has forgotten commits; they are made again"
                        );
                        running.task.abort();
                    }
                }
            }
        }
    }

    /// How far the partitions have got over what was not theirs.
    fn unsaved(&self) -> Vec<PartitionLease> {
        let statuses = self.shared.statuses();
        let moved = statuses.values().filter_map(|status| {
            let inner = status.inner();
            (inner.cursor > inner.saved)
                .then(|| PartitionLease { position: inner.cursor, ..status.lease.clone() })
        });
        moved.collect()
    }

    /// Ends what belongs to others now, starts what belongs here.
    async fn rebalance(&mut self, beat: u64, cluster: &Cluster) {
        let mine = share_of(self.shared.node, cluster);
        for projector in &cluster.consumers {
            for generation in &projector.generations {
                for (partition, record) in projector.partitions(generation) {
                    let stop = !mine.contains(&partition);
                    let is_ours = record.owner == Some(self.shared.node);
                    if let Some(running) = self.running.get(&partition) {
                        // A lease that was lost is noticed here if the worker has nothing to do.
                        let stop = stop || !is_ours;
                        let control = control(beat, stop, projector, generation, record);
                        running.tell(control, self.shared.statuses().get(&partition));
                    } else if !stop {
                        let control = control(beat, stop, projector, generation, record);
                        let partitions =
                            u32::try_from(generation.partitions.len()).unwrap_or(u32::MAX);
                        if let Err(error) = self.start(&partition, partitions, control).await {
                            tracing::warn!(%partition, %error, "not leased");
                        }
                    } else if is_ours && let Err(error) = self.give_back(&partition).await {
                        tracing::warn!(%partition, %error, "not given back");
                    }
                }
            }
        }
        // A generation that is gone.
        for (partition, running) in &self.running {
            let known = cluster.consumers.iter().any(|projector| {
                projector.name == partition.consumer
                    && projector.generations.iter().any(|g| g.number == partition.generation)
            });
            if !known {
                running.control.send_modify(|control| control.stop = true);
            }
        }
    }

    async fn start(
        &mut self,
        partition: &Partition,
        partitions: u32,
        control: Control,
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        let Some(projector) = shared.find(&partition.consumer) else { return Ok(()) };
        let Some(lease) = shared.read.acquire(shared.node, partition).await? else { return Ok(()) };
        tracing::info!(%partition, position = %lease.position, "runs here");
        let status = Arc::new(Status::new(lease));
        shared.statuses().insert(partition.clone(), Arc::clone(&status));
        let (sender, receiver) = watch::channel(control);
        let work = projector.worker(Arc::clone(shared), partitions, status, receiver);
        let nudge = Arc::clone(shared);
        let task = tokio::spawn(async move {
            work.await;
            // Whether it may go on somewhere is for the next heartbeat to say.
            nudge.nudge.notify_one();
        });
        self.running.insert(partition.clone(), Running { control: sender, task });
        Ok(())
    }

    /// Gives back what is ours on record and not at work here: the release did not get through, or
    /// the lease did and its answer did not. Nobody else gets it as long as this node lives.
    async fn give_back(&self, partition: &Partition) -> Result<(), StoreError> {
        let Shared { read, node, .. } = &*self.shared;
        match read.acquire(*node, partition).await? {
            Some(lease) => read.release(&lease).await,
            None => Ok(()),
        }
    }

    async fn leave(mut self) {
        for running in self.running.values() {
            running.control.send_modify(|control| control.stop = true);
        }
        for (_, running) in self.running.drain() {
            // It catches panics of user code itself.
            let _ = running.task.await;
        }
        self.shared.statuses().clear();
        if let Err(error) = self.shared.read.leave(self.shared.node).await {
            tracing::warn!(node = %self.shared.node, %error, "left without a word");
        }
        self.shared.left.store(true, Ordering::Release);
        self.shared.progressed.send_modify(|count| *count += 1);
    }
}

impl<S: ReadStore> Drop for Node<S> {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.task.abort();
        }
    }
}

impl Running {
    /// Passes on what is news; a heartbeat alone is none, except for who waits for one.
    fn tell(&self, control: Control, status: Option<&Arc<Status>>) {
        let waits = status.is_some_and(|status| status.inner().doing == Doing::Stopped);
        self.control.send_if_modified(|now| {
            let beat = now.beat;
            let is_news = Control { beat, ..control } != *now;
            *now = control;
            is_news || waits || !control.live
        });
    }
}

fn control(
    beat: u64,
    stop: bool,
    projector: &ConsumerRecord,
    generation: &GenerationRecord,
    partition: &PartitionRecord,
) -> Control {
    Control {
        beat,
        stop,
        paused: projector.paused,
        live: generation.live,
        stopped: partition.failure.as_ref().is_some_and(|failure| failure.stopped),
        retry: partition.retry_requested,
    }
}

/// Looks for the head now and then, once for all partitions.
async fn look<S: ReadStore>(shared: Arc<Shared<S>>) {
    loop {
        tokio::time::sleep(shared.poll_interval).await;
        match shared.events.head().await {
            Ok(head) => {
                shared.looked.send_if_modified(|looked| {
                    let is_news = head > *looked;
                    *looked = head.max(*looked);
                    is_news
                });
            }
            Err(error) => tracing::warn!(%error, "the head is not known"),
        }
    }
}
