//! Runs one partition: reads events, projects them, commits.
//!
//! Invariants:
//! - `cursor` moves only after the commit of every event up to it, or over events of others.
//! - Rows are written only in a transaction that was begun under the lease.
//! - If the outcome of a commit is unknown, the worker ends; the next lease has the checkpoint that
//!   shows it.

mod batch;
mod failure;
mod parked;
mod rebuild;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::panics::panic_message;
use crate::projection::error::ProjectError;
use crate::projection::options::ProjectorOptions;
use crate::projection::projector::Projector;
use crate::projection::runtime::partitioning::PartitionKeys;
use crate::projection::runtime::reader::Reader;
use crate::projection::runtime::shared::Shared;
use crate::projection::runtime::status::{Activity, Control, Status};
use crate::projection::store::{CommitError, Failure, LeaseError, PartitionLease, ReadStore};
use crate::{Position, StoreError};

/// The longest pause of a rebuild after a transaction, in durations of the transaction.
const LONGEST_PAUSE_FACTOR: u32 = 24;

/// The worker has to end: its lease is lost, or its checkpoint is unknown.
pub(in crate::projection) struct Ended;

/// Why a transaction failed.
enum Failed {
    /// The projector failed.
    Projector(ProjectError),
    /// The read store failed. Nothing was written.
    Store(StoreError),
    Ended,
}

impl From<LeaseError> for Failed {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::Ended,
            LeaseError::Store(error) => Self::Store(error),
        }
    }
}

pub(in crate::projection) struct Worker<S: ReadStore, P: Projector<S>> {
    shared: Arc<Shared<S>>,
    projector: Arc<P>,
    options: ProjectorOptions,
    lease: PartitionLease,
    keys: PartitionKeys<P::Event>,
    status: Arc<Status>,
    control: watch::Receiver<Control>,
    reader: Reader<P::Event>,
    /// The keys with parked events.
    parked: HashSet<String>,
    /// The size of the next batch: smaller after a failure, to find the event that fails.
    batch: usize,
    /// The heartbeat after which parked events were last retried.
    retried: u64,
    /// The head after the last transaction, while the generation is being built.
    head: Position,
    /// The lag at that time.
    lag: u64,
    /// The length of a pause for appends, in durations of the last transaction.
    pause_factor: u32,
    swapped: bool,
}

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    pub(in crate::projection) fn new(
        shared: Arc<Shared<S>>,
        projector: Arc<P>,
        options: ProjectorOptions,
        partitions: u32,
        status: Arc<Status>,
        control: watch::Receiver<Control>,
    ) -> Self {
        let number = status.lease.partition.number;
        let keys = PartitionKeys::new(projector.key(), partitions, number);
        let reader = Reader::new(Arc::clone(&shared.events), options.batch, keys);
        Self {
            lease: status.lease.clone(),
            shared,
            projector,
            options,
            keys,
            status,
            control,
            reader,
            parked: HashSet::new(),
            batch: options.batch,
            retried: 0,
            head: Position::START,
            lag: u64::MAX,
            pause_factor: LONGEST_PAUSE_FACTOR,
            swapped: false,
        }
    }

    /// Runs until it is asked to stop or loses its lease, then releases the partition.
    pub(in crate::projection) async fn run(mut self) {
        match AssertUnwindSafe(self.work()).catch_unwind().await {
            Ok(Ok(()) | Err(Ended)) => {}
            Err(panic) => {
                // User code outside of a transaction: `decode`, or a key.
                let error = format!("panicked: {}", panic_message(&*panic));
                let position = self.cursor();
                let failure = Failure { position, error, attempts: 1, stopped: true };
                if self.stop_at(failure).await.is_ok() {
                    self.finish().await;
                }
                return;
            }
        }
        self.finish().await;
    }

    /// Saves the checkpoint and releases the partition. If that fails, the node tries again.
    async fn finish(&mut self) {
        let saved = self.save().await;
        if let Err(error) = saved.and(self.shared.read.release(&self.lease).await) {
            tracing::warn!(partition = %self.lease.partition, %error, "releasing partition failed");
        }
    }

    async fn work(&mut self) -> Result<(), Ended> {
        self.load_parked().await?;
        loop {
            let control = *self.control.borrow_and_update();
            if control.stop {
                return Ok(());
            }
            if control.paused {
                self.show(Activity::Paused);
                self.changed().await?;
                continue;
            }
            if control.retry && control.heartbeat > self.retried {
                self.retried = control.heartbeat;
                self.retry_parked().await?;
            }
            match self.reader.next(self.cursor()).await {
                Ok(Some(chunk)) => self.project_chunk(chunk).await?,
                Ok(None) => self.wait_at_head().await?,
                Err(error) => self.log_failed(&error).await?,
            }
        }
    }

    fn cursor(&self) -> Position {
        self.status.inner().cursor
    }

    fn show(&self, activity: Activity) {
        self.status.inner().activity = activity;
    }

    /// Waits until the node sends another control.
    async fn changed(&mut self) -> Result<(), Ended> {
        self.control.changed().await.map_err(|_| Ended)
    }

    /// Returns `true` if the worker has to stop or pause.
    fn is_interrupted(&self) -> bool {
        let control = self.control.borrow();
        control.stop || control.paused
    }

    /// Waits for a duration, or until the worker has to stop or pause.
    async fn pause(&mut self, pause: Duration) -> Result<(), Ended> {
        let wait = async {
            while !self.is_interrupted() {
                self.control.changed().await.map_err(|_| Ended)?;
            }
            Ok(())
        };
        tokio::time::timeout(pause, wait).await.unwrap_or(Ok(()))
    }

    async fn wait_at_head(&mut self) -> Result<(), Ended> {
        let cursor = self.cursor();
        self.show(Activity::AtHead);
        if !self.control.borrow().live && !self.swapped {
            self.try_swap().await?;
        }
        let mut polled = self.shared.polled_head();
        tokio::select! {
            () = self.shared.events.wait_for_head_after(cursor) => {}
            // The store's notification may get lost.
            _ = polled.wait_for(|head| *head > cursor) => {}
            changed = self.control.changed() => changed.map_err(|_| Ended)?,
        }
        Ok(())
    }

    /// Saves the checkpoint if it moved without a commit, over events of others.
    async fn save(&mut self) -> Result<(), StoreError> {
        let (cursor, saved) = {
            let inner = self.status.inner();
            (inner.cursor, inner.saved)
        };
        if cursor <= saved {
            return Ok(());
        }
        let read = &self.shared.read;
        let tx = match read.begin(&self.lease).await {
            Ok(tx) => tx,
            Err(LeaseError::Lost) => return Ok(()),
            Err(LeaseError::Store(error)) => return Err(error),
        };
        match read.commit(tx, &self.lease, cursor).await {
            Ok(()) => {
                self.lease.position = cursor;
                self.status.inner().saved = cursor;
            }
            Err(CommitError::Unknown(error)) => return Err(error),
            Err(CommitError::Lost | CommitError::Failed(_)) => {}
        }
        Ok(())
    }

    /// Records that every event up to a position is committed.
    fn done(&self, handled: u64, through: Position) {
        {
            let mut inner = self.status.inner();
            let positions = through.get().saturating_sub(inner.cursor.get());
            inner.handled += handled;
            inner.passed += positions.saturating_sub(handled);
            inner.cursor = inner.cursor.max(through);
            if handled > 0 {
                inner.saved = inner.cursor;
                inner.failure = None;
                if inner.activity == Activity::Retrying {
                    inner.activity = Activity::CatchingUp;
                }
            }
        }
        self.shared.progressed();
    }
}
