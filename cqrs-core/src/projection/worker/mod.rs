//! One partition at work: read, project, commit, again.
//!
//! Invariants:
//! - `cursor` moves only after the commit of everything below it, or over what is not ours.
//! - Rows are written in a transaction begun under the lease, and nowhere else.
//! - When it is not known whether a commit took place, the worker ends; the next lease brings the
//!   checkpoint that tells.

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
use crate::projection::node::Shared;
use crate::projection::options::ProjectorOptions;
use crate::projection::partition::PartitionLease;
use crate::projection::projector::{ProjectError, Projector};
use crate::projection::read_store::{CommitError, LeaseError, ReadStore};
use crate::projection::reader::Reader;
use crate::projection::records::Failure;
use crate::projection::share::partition_of;
use crate::projection::status::{Control, Doing, Status};
use crate::store::Filter;
use crate::{Event, Position, StoreError};

/// The worker has to end: its lease is gone, or it is not sure of its checkpoint.
pub(in crate::projection) struct Ended;

/// Why a transaction did not come about.
enum Failed {
    /// The projector is to blame.
    Projector(ProjectError),
    /// The read store is; nothing was written.
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
    partitions: u32,
    status: Arc<Status>,
    control: watch::Receiver<Control>,
    reader: Reader<P::Event>,
    /// The keys that wait behind an event put aside.
    parked: HashSet<String>,
    /// How many events the next transaction takes: fewer after a failure, to find its cause.
    size: usize,
    /// The heartbeat after which events put aside were last tried again.
    retried: u64,
    /// The head as it was after the last transaction, while the read model is built.
    head: Position,
    /// How far it was behind then.
    lag: u64,
    /// How many times as long as a transaction it rests.
    rest: u32,
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
        let filter = Filter::types(P::Event::TYPES);
        let is_mine = move |event: &crate::RecordedEvent| {
            P::KEYED || partition_of(event.stream.as_str(), partitions) == number
        };
        let reader = Reader::new(Arc::clone(&shared.events), filter, options.batch, is_mine);
        Self {
            lease: status.lease.clone(),
            shared,
            projector,
            options,
            partitions,
            status,
            control,
            reader,
            parked: HashSet::new(),
            size: options.batch,
            retried: 0,
            head: Position::START,
            lag: u64::MAX,
            rest: rebuild::REST,
            swapped: false,
        }
    }

    /// Works until it is told to stop or loses its lease. The partition is given back then.
    pub(in crate::projection) async fn run(mut self) {
        match AssertUnwindSafe(self.work()).catch_unwind().await {
            Ok(Ok(()) | Err(Ended)) => {}
            Err(panic) => {
                // User code outside of a transaction: how it decodes, or what its key is.
                let error = format!("panicked: {}", panic_message(&*panic));
                let position = self.cursor();
                let failure = Failure { position, error, attempts: 1, stopped: true };
                if self.stand_still(failure).await.is_ok() {
                    self.finish().await;
                }
                return;
            }
        }
        self.finish().await;
    }

    /// Saves what is done and gives the partition back; if that fails, the node sees to it.
    async fn finish(&mut self) {
        let saved = self.save().await;
        if let Err(error) = saved.and(self.shared.read.release(&self.lease).await) {
            tracing::warn!(partition = %self.lease.partition, %error, "not given back");
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
                self.show(Doing::Paused);
                self.changed().await?;
                continue;
            }
            if control.retry && control.beat > self.retried {
                self.retried = control.beat;
                self.retry_parked().await?;
            }
            match self.reader.next(self.cursor()).await {
                Ok(Some(chunk)) => self.take_in(chunk).await?,
                Ok(None) => self.wait_at_head().await?,
                Err(error) => self.log_failed(&error).await?,
            }
        }
    }

    fn cursor(&self) -> Position {
        self.status.inner().cursor
    }

    fn show(&self, doing: Doing) {
        self.status.inner().doing = doing;
    }

    /// Waits for word from the node.
    async fn changed(&mut self) -> Result<(), Ended> {
        self.control.changed().await.map_err(|_| Ended)
    }

    /// Whether something else is to be done than going on.
    fn is_interrupted(&self) -> bool {
        let control = self.control.borrow();
        control.stop || control.paused
    }

    /// Pauses, or less if something else is to be done.
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
        self.show(Doing::AtHead);
        if !self.control.borrow().live && !self.swapped {
            self.try_swap().await?;
        }
        let mut looked = self.shared.looked.subscribe();
        tokio::select! {
            () = self.shared.events.wait_for_head_after(cursor) => {}
            // The head as it was looked up for all; a store's own hints may get lost.
            _ = looked.wait_for(|head| *head > cursor) => {}
            changed = self.control.changed() => changed.map_err(|_| Ended)?,
        }
        Ok(())
    }

    /// Saves how far the partition has got, when that was over nothing of its own.
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

    /// Notes that everything up to here is committed.
    fn done(&self, handled: u64, through: Position) {
        {
            let mut inner = self.status.inner();
            let looked_at = through.get().saturating_sub(inner.cursor.get());
            inner.handled += handled;
            inner.passed += looked_at.saturating_sub(handled);
            inner.cursor = inner.cursor.max(through);
            if handled > 0 {
                inner.saved = inner.cursor;
                inner.failure = None;
                if inner.doing == Doing::Retrying {
                    inner.doing = Doing::CatchingUp;
                }
            }
        }
        self.shared.progressed.send_modify(|count| *count += 1);
    }
}
