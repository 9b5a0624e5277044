//! A node: sends heartbeats and runs its share of the partitions.
//!
//! One heartbeat serves all consumers of a node. It renews the node's leases, saves the positions
//! of idle partitions, and returns the records of the other nodes.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::assign::share_of;
use super::consumer::Consumer;
use super::handle::NodeHandle;
use super::shared::Shared;
use super::status::{Activity, Control, Status};
use crate::StoreError;
use crate::projection::consumers::RunningNode;
use crate::projection::store::{
    Capability, Cluster, ConsumerRecord, GenerationRecord, Partition, PartitionLease,
    PartitionRecord, ReadStore,
};

/// A partition that runs here.
struct Running {
    control: watch::Sender<Control>,
    task: JoinHandle<()>,
}

pub(in crate::projection) struct Node<S: ReadStore> {
    shared: Arc<Shared<S>>,
    consumers: Arc<[Arc<dyn Consumer<S>>]>,
    running: HashMap<Partition, Running>,
}

impl<S: ReadStore> Node<S> {
    pub(in crate::projection) fn new(
        shared: Arc<Shared<S>>,
        consumers: Vec<Arc<dyn Consumer<S>>>,
    ) -> Self {
        Self { shared, consumers: consumers.into(), running: HashMap::new() }
    }

    pub(in crate::projection) fn handle(&self) -> Arc<dyn RunningNode> {
        let (shared, consumers) = (Arc::clone(&self.shared), Arc::clone(&self.consumers));
        Arc::new(NodeHandle { shared, consumers })
    }

    /// Runs until the node is asked to stop, then ends its partitions and leaves.
    pub(in crate::projection) async fn run(mut self) {
        let mut stopping = self.shared.stopping();
        let poll = tokio::spawn(poll_head(Arc::clone(&self.shared))).abort_handle();
        loop {
            self.heartbeat().await;
            tokio::select! {
                () = tokio::time::sleep(self.shared.lease / 3) => {}
                () = self.shared.heartbeat_requested() => {}
                // The sender is in `shared`, which lives as long as `self`.
                _ = stopping.wait_for(|stop| *stop) => break,
            }
        }
        poll.abort();
        self.leave().await;
    }

    async fn heartbeat(&mut self) {
        let shared = Arc::clone(&self.shared);
        let number = shared.next_heartbeat();
        self.remove_ended();
        let capabilities: Vec<Capability> = self
            .consumers
            .iter()
            .map(|consumer| Capability {
                consumer: consumer.name().clone(),
                version: consumer.version(),
                inline: consumer.inline(),
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
                self.restart_after_data_loss(&saved, &cluster);
                self.rebalance(number, &cluster).await;
                shared.set_cluster(cluster);
            }
            Err(error) => {
                tracing::warn!(node = %shared.node, %error, "heartbeat failed");
            }
        }
        shared.progressed();
    }

    fn remove_ended(&mut self) {
        let mut statuses = self.shared.statuses();
        self.running.retain(|partition, running| {
            let runs = !running.task.is_finished();
            if !runs {
                statuses.remove(partition);
            }
            runs
        });
    }

    /// Returns the checkpoints that this node knows to be saved.
    fn saved(&self) -> Vec<PartitionLease> {
        let statuses = self.shared.statuses();
        let saved = statuses.values().map(|status| PartitionLease {
            position: status.inner().saved,
            ..status.lease.clone()
        });
        saved.collect()
    }

    /// Restarts partitions whose checkpoint in the store is lower than one that was saved: the
    /// store was restored from a backup, or failed over to a server without the last commits. A
    /// worker that continued would skip the lost events.
    fn restart_after_data_loss(&self, saved: &[PartitionLease], cluster: &Cluster) {
        for consumer in &cluster.consumers {
            for generation in &consumer.generations {
                for (partition, record) in consumer.partitions(generation) {
                    let saved = saved.iter().find(|lease| lease.partition == partition);
                    if let Some(saved) = saved.filter(|saved| record.position < saved.position)
                        && let Some(running) = self.running.get(&partition)
                    {
                        tracing::error!(
                            %partition, saved = %saved.position, found = %record.position,
                            "read store lost commits, restarting partition"
                        );
                        running.task.abort();
                    }
                }
            }
        }
    }

    /// Returns the positions of partitions that skipped events of others since their last commit.
    fn unsaved(&self) -> Vec<PartitionLease> {
        let statuses = self.shared.statuses();
        let moved = statuses.values().filter_map(|status| {
            let inner = status.inner();
            (inner.cursor > inner.saved)
                .then(|| PartitionLease { position: inner.cursor, ..status.lease.clone() })
        });
        moved.collect()
    }

    /// Ends the partitions that belong to other nodes now, and starts those that belong here.
    async fn rebalance(&mut self, heartbeat: u64, cluster: &Cluster) {
        let share = share_of(self.shared.node, cluster);
        for consumer in &cluster.consumers {
            for generation in &consumer.generations {
                for (partition, record) in consumer.partitions(generation) {
                    let stop = !share.contains(&partition);
                    let owned = record.owner == Some(self.shared.node);
                    if let Some(running) = self.running.get(&partition) {
                        // An idle worker does not notice that it lost its lease.
                        let stop = stop || !owned;
                        let control = control(heartbeat, stop, consumer, generation, record);
                        running.send(control, self.shared.statuses().get(&partition));
                    } else if !stop {
                        let control = control(heartbeat, stop, consumer, generation, record);
                        let partitions =
                            u32::try_from(generation.partitions.len()).unwrap_or(u32::MAX);
                        if let Err(error) = self.start(&partition, partitions, control).await {
                            tracing::warn!(%partition, %error, "acquiring partition failed");
                        }
                    } else if owned && let Err(error) = self.release(&partition).await {
                        tracing::warn!(%partition, %error, "releasing partition failed");
                    }
                }
            }
        }
        self.stop_removed(cluster);
    }

    /// Ends the partitions of generations that no longer exist.
    fn stop_removed(&self, cluster: &Cluster) {
        for (partition, running) in &self.running {
            let exists = cluster.consumers.iter().any(|consumer| {
                consumer.name == partition.consumer
                    && consumer.generations.iter().any(|g| g.number == partition.generation)
            });
            if !exists {
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
        let consumer = self.consumers.iter().find(|it| *it.name() == partition.consumer);
        let Some(consumer) = consumer else { return Ok(()) };
        let Some(lease) = shared.read.acquire(shared.node, partition).await? else { return Ok(()) };
        tracing::info!(%partition, position = %lease.position, "partition acquired");
        let status = Arc::new(Status::new(lease));
        shared.statuses().insert(partition.clone(), Arc::clone(&status));
        let (sender, receiver) = watch::channel(control);
        let work = consumer.worker(Arc::clone(shared), partitions, status, receiver);
        let shared = Arc::clone(shared);
        let task = tokio::spawn(async move {
            work.await;
            // The next heartbeat decides whether it runs again, and where.
            shared.request_heartbeat();
        });
        self.running.insert(partition.clone(), Running { control: sender, task });
        Ok(())
    }

    /// Releases a partition that this node owns on record but does not run: a release failed, or
    /// the answer to an acquisition was lost. No other node gets it while this one is alive.
    async fn release(&self, partition: &Partition) -> Result<(), StoreError> {
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
            // The worker catches panics of user code.
            let _ = running.task.await;
        }
        self.shared.statuses().clear();
        if let Err(error) = self.shared.read.leave(self.shared.node).await {
            tracing::warn!(node = %self.shared.node, %error, "leaving failed");
        }
        self.shared.set_stopped();
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
    /// Passes on what changed. A new heartbeat alone wakes only workers that wait for one: those
    /// that are stopped, and those whose generation is being built.
    fn send(&self, control: Control, status: Option<&Arc<Status>>) {
        let waits = status.is_some_and(|status| status.inner().activity == Activity::Stopped);
        self.control.send_if_modified(|now| {
            let heartbeat = now.heartbeat;
            let changed = Control { heartbeat, ..control } != *now;
            *now = control;
            changed || waits || !control.live
        });
    }
}

fn control(
    heartbeat: u64,
    stop: bool,
    consumer: &ConsumerRecord,
    generation: &GenerationRecord,
    partition: &PartitionRecord,
) -> Control {
    Control {
        heartbeat,
        stop,
        paused: consumer.paused,
        live: generation.live,
        stopped: partition.failure.as_ref().is_some_and(|failure| failure.stopped),
        retry: partition.retry_requested,
    }
}

/// Polls the head of the log for all partitions.
async fn poll_head<S: ReadStore>(shared: Arc<Shared<S>>) {
    loop {
        tokio::time::sleep(shared.poll_interval).await;
        match shared.head().await {
            Ok(head) => shared.set_polled_head(head),
            Err(error) => tracing::warn!(%error, "reading the head failed"),
        }
    }
}
