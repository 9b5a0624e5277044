//! What a node, its workers and its handles share. It depends on none of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::status::Status;
use crate::names::ConsumerName;
use crate::projection::store::{Cluster, ConsumerRecord, Partition, ReadStore};
use crate::store::{EventStore, Filter, LogRead};
use crate::{Clock, Event, Position, ReadError, Recorded, StoreError, SystemClock};

/// The settings of a node.
pub(in crate::projection) struct Settings {
    pub(in crate::projection) lease: Duration,
    pub(in crate::projection) poll_interval: Duration,
    pub(in crate::projection) clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        let (lease, poll_interval) = (Duration::from_secs(3), Duration::from_secs(1));
        Self { lease, poll_interval, clock: Arc::new(SystemClock) }
    }
}

pub(crate) struct Shared<S: ReadStore> {
    pub(in crate::projection) events: Arc<dyn EventStore>,
    pub(crate) read: S,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) node: Uuid,
    pub(super) lease: Duration,
    pub(crate) poll_interval: Duration,
    /// The answer to the last heartbeat.
    cluster: RwLock<Cluster>,
    /// The partitions that run here.
    statuses: Mutex<HashMap<Partition, Arc<Status>>>,
    /// The number of heartbeats, incremented before each is sent.
    heartbeats: AtomicU64,
    heartbeat_now: Notify,
    /// Changes after each heartbeat, whether it succeeded or not, and after each commit.
    progress: watch::Sender<u64>,
    /// The head of the log as it was last polled, in case the store's notifications get lost.
    polled_head: watch::Sender<Position>,
    stopping: watch::Sender<bool>,
    stopped: AtomicBool,
}

impl<S: ReadStore> Shared<S> {
    pub(in crate::projection) fn new(
        events: Arc<dyn EventStore>,
        read: S,
        settings: Settings,
    ) -> Self {
        Self {
            events,
            read,
            clock: settings.clock,
            node: Uuid::now_v7(),
            lease: settings.lease,
            poll_interval: settings.poll_interval,
            cluster: RwLock::default(),
            statuses: Mutex::default(),
            heartbeats: AtomicU64::new(0),
            heartbeat_now: Notify::new(),
            progress: watch::Sender::new(0),
            polled_head: watch::Sender::default(),
            stopping: watch::Sender::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn statuses(&self) -> MutexGuard<'_, HashMap<Partition, Arc<Status>>> {
        // Nothing panics while it is locked.
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cluster(&self) -> RwLockReadGuard<'_, Cluster> {
        self.cluster.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_cluster(&self, cluster: Cluster) {
        *self.cluster.write().unwrap_or_else(PoisonError::into_inner) = cluster;
    }

    /// Reads the records of all consumers before the first heartbeat.
    pub(in crate::projection) async fn load_records(&self) -> Result<(), StoreError> {
        let consumers = self.read.inspect(None).await?;
        self.set_cluster(Cluster { nodes: Vec::new(), consumers });
        Ok(())
    }

    /// Returns the record of a consumer as of the last heartbeat.
    pub(super) fn record(&self, name: &ConsumerName) -> Option<ConsumerRecord> {
        self.cluster().consumers.iter().find(|record| record.name == *name).cloned()
    }

    /// Returns the position of a partition that runs here.
    pub(crate) fn cursor(&self, partition: &Partition) -> Option<Position> {
        self.statuses().get(partition).map(|status| status.inner().cursor)
    }

    /// Counts a heartbeat that is about to be sent, and returns its number.
    pub(super) fn next_heartbeat(&self) -> u64 {
        self.heartbeats.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Returns the number of the last heartbeat that was sent.
    pub(in crate::projection) fn last_heartbeat(&self) -> u64 {
        self.heartbeats.load(Ordering::Acquire)
    }

    /// Asks the node to send a heartbeat now.
    pub(in crate::projection) fn request_heartbeat(&self) {
        self.heartbeat_now.notify_one();
    }

    pub(super) async fn heartbeat_requested(&self) {
        self.heartbeat_now.notified().await;
    }

    pub(in crate::projection) fn progressed(&self) {
        self.progress.send_modify(|count| *count += 1);
    }

    pub(crate) fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    pub(super) fn set_polled_head(&self, head: Position) {
        self.polled_head.send_if_modified(|known| {
            let is_later = head > *known;
            *known = head.max(*known);
            is_later
        });
    }

    pub(in crate::projection) fn polled_head(&self) -> watch::Receiver<Position> {
        self.polled_head.subscribe()
    }

    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(super) fn set_stopped(&self) {
        self.stopped.store(true, Ordering::Release);
        self.progressed();
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Returns the newest position of the log.
    pub(crate) async fn head(&self) -> Result<Position, StoreError> {
        self.events.head().await
    }

    /// Returns the event at a position: several if an upcaster splits it, none if it is dropped.
    pub(crate) async fn read_one<E: Event>(
        &self,
        position: Position,
    ) -> Result<Vec<Recorded<E>>, ReadError> {
        let filter = Filter::types(E::TYPES);
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
