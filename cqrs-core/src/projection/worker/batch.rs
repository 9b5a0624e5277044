//! Events into transactions: as many at once as the projector takes, one by one after a failure.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::failure::store_pauses;
use super::{Ended, Failed, Worker};
use crate::event::as_stored;
use crate::failures::error_chain;
use crate::panics::panic_message;
use crate::projection::projector::{ProjectError, Projector};
use crate::projection::read_store::{CommitError, ReadStore};
use crate::projection::reader::Chunk;
use crate::projection::share::partition_of;
use crate::projection::status::Doing;
use crate::{Position, Recorded, StoreError};

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    pub(super) async fn take_in(&mut self, chunk: Chunk<P::Event>) -> Result<(), Ended> {
        let Chunk { events, undecodable, through } = chunk;
        let events = self.mine(events);
        let mut rest = events.as_slice();
        let (mut backoff, mut store_backoff) = (None, None);
        let mut attempts = 0;
        if self.status.inner().doing == Doing::AtHead && self.cursor().plus(100) < through {
            self.show(Doing::CatchingUp);
        }
        while !rest.is_empty() {
            if self.is_interrupted() {
                self.reader.reset();
                return Ok(());
            }
            let (now, later) = rest.split_at(boundary(rest, self.size));
            let end = match now.last() {
                Some(last) if !later.is_empty() => last.position,
                _ => through,
            };
            let began = Instant::now();
            match self.attempt(now, end).await {
                Ok(()) => {
                    self.done(now.len() as u64, end);
                    self.tell(now);
                    self.size = (self.size * 2).min(self.options.batch);
                    (rest, attempts, backoff, store_backoff) = (later, 0, None, None);
                    self.make_way(began.elapsed()).await?;
                }
                Err(Failed::Ended) => return Err(Ended),
                Err(Failed::Store(error)) => {
                    let backoff = store_backoff.get_or_insert_with(store_pauses);
                    self.store_failed(&error, backoff).await?;
                }
                Err(Failed::Projector(error)) if is_one(now) => {
                    attempts += 1;
                    let backoff = backoff.get_or_insert_with(|| self.options.on_failure.backoff());
                    let Some(first) = now.first() else { continue };
                    if self.failed(first, end, error_chain(&*error), attempts, backoff).await? {
                        // Parked, or to be looked at anew.
                        self.reader.reset();
                        return Ok(());
                    }
                }
                Err(Failed::Projector(_)) => self.size = (now.len() / 2).max(1),
            }
        }
        if events.is_empty() && through > self.cursor() {
            self.done(0, through);
        }
        match undecodable {
            Some(error) => self.undecodable(error).await,
            None => Ok(()),
        }
    }

    /// The events whose key belongs to this partition.
    fn mine(&self, mut events: Vec<Recorded<P::Event>>) -> Vec<Recorded<P::Event>> {
        if P::KEYED && self.partitions > 1 {
            let number = self.lease.partition.number;
            let mut last = (Position::START, false);
            events.retain(|event| {
                if event.position != last.0 {
                    let partition = partition_of(&self.key(event), self.partitions);
                    last = (event.position, partition == number);
                }
                last.1
            });
        }
        events
    }

    /// The key of an event. What was stored as one event has the key of its first part.
    pub(super) fn key<'e>(&self, event: &'e Recorded<P::Event>) -> Cow<'e, str> {
        if P::KEYED { self.projector.key(event) } else { Cow::Borrowed(event.stream.as_str()) }
    }

    /// One transaction: all of it and the checkpoint, or nothing.
    async fn attempt(
        &mut self,
        events: &[Recorded<P::Event>],
        through: Position,
    ) -> Result<(), Failed> {
        let read = self.shared.read.clone();
        let runs = self.runs(events);
        for (free, _) in runs.iter().filter(|(free, _)| !free.is_empty()) {
            self.prepare(free).await?;
        }
        let mut tx = read.begin(&self.lease).await?;
        for (free, waiting) in runs {
            if !free.is_empty() {
                self.project(&mut tx, free).await?;
            }
            if let Some(first) = waiting.first() {
                let entry = self.entry(first.position, self.key(first).into(), None, 0);
                read.park(&mut tx, &self.lease, &entry).await.map_err(Failed::Store)?;
            }
        }
        self.commit(tx, through).await
    }

    /// Events that may be taken in, each run with the stored event behind it that has to wait.
    #[allow(clippy::type_complexity)] // a pair of slices
    fn runs<'e>(
        &self,
        events: &'e [Recorded<P::Event>],
    ) -> Vec<(&'e [Recorded<P::Event>], &'e [Recorded<P::Event>])> {
        let (mut runs, mut rest) = (Vec::new(), events);
        while !rest.is_empty() {
            let free = as_stored(rest).take_while(|parts| !self.waits(parts));
            let (free, behind) = rest.split_at(free.map(<[_]>::len).sum());
            let waiting = as_stored(behind).next().unwrap_or_default();
            runs.push((free, waiting));
            rest = behind.split_at(waiting.len()).1;
        }
        runs
    }

    /// Whether a stored event has to wait behind one that is put aside.
    fn waits(&self, parts: &[Recorded<P::Event>]) -> bool {
        !self.parked.is_empty()
            && parts.first().is_some_and(|first| self.parked.contains(&*self.key(first)))
    }

    /// Calls the projector before a transaction begins.
    pub(super) async fn prepare(&mut self, events: &[Recorded<P::Event>]) -> Result<(), Failed> {
        let call = self.projector.prepare(events);
        let ended = AssertUnwindSafe(call).catch_unwind().await;
        self.judge(ended)
    }

    /// Calls the projector; a panic in it is an error.
    pub(super) async fn project(
        &mut self,
        tx: &mut S::Transaction,
        events: &[Recorded<P::Event>],
    ) -> Result<(), Failed> {
        let call = self.projector.project_batch(tx, events);
        let ended = AssertUnwindSafe(call).catch_unwind().await;
        self.judge(ended)
    }

    /// What the end of a call means.
    fn judge(&self, ended: std::thread::Result<Result<(), ProjectError>>) -> Result<(), Failed> {
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if self.shared.read.is_transient(&*error) => {
                let kind = crate::StoreErrorKind::Unavailable;
                Err(Failed::Store(StoreError::new(kind, error_chain(&*error)).with_source(error)))
            }
            Ok(Err(error)) => Err(Failed::Projector(error)),
            Err(panic) => {
                Err(Failed::Projector(format!("panicked: {}", panic_message(&*panic)).into()))
            }
        }
    }

    pub(super) async fn commit(
        &mut self,
        tx: S::Transaction,
        through: Position,
    ) -> Result<(), Failed> {
        match self.shared.read.commit(tx, &self.lease, through).await {
            Ok(()) => {
                self.lease.position = self.lease.position.max(through);
                Ok(())
            }
            Err(CommitError::Lost) => Err(Failed::Ended),
            Err(CommitError::Failed(error)) => Err(Failed::Projector(error)),
            Err(CommitError::Unknown(error)) => {
                // See the third invariant.
                tracing::warn!(partition = %self.lease.partition, %error, "commit unknown");
                self.shared.nudge.notify_one();
                Err(Failed::Ended)
            }
        }
    }

    /// Tells the projector, if readers see what it wrote.
    pub(super) fn tell(&self, events: &[Recorded<P::Event>]) {
        if self.swapped || self.control.borrow().live {
            let call = || self.projector.committed(events);
            if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(call)) {
                let panic = panic_message(&*panic);
                tracing::error!(partition = %self.lease.partition, panic, "`committed` panicked");
            }
        }
    }
}

/// So many events, or a few more for the sake of the last one's parts.
fn boundary<E>(events: &[Recorded<E>], size: usize) -> usize {
    let mut end = 0;
    for parts in as_stored(events) {
        end += parts.len();
        if end >= size {
            break;
        }
    }
    end
}

fn is_one<E>(events: &[Recorded<E>]) -> bool {
    as_stored(events).nth(1).is_none()
}
