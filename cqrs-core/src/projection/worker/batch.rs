//! Projects events in transactions: in batches, and one by one after a failure.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::failure::store_pauses;
use super::{Ended, Failed, Worker};
use crate::event::as_stored;
use crate::failures::error_chain;
use crate::panics::panic_message;
use crate::projection::error::ProjectError;
use crate::projection::projector::Projector;
use crate::projection::runtime::reader::Chunk;
use crate::projection::runtime::status::Activity;
use crate::projection::store::{CommitError, ReadStore};
use crate::{Position, Recorded, StoreError, StoreErrorKind};

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    pub(super) async fn project_chunk(&mut self, chunk: Chunk<P::Event>) -> Result<(), Ended> {
        let Chunk { events, undecodable, through } = chunk;
        let events = self.keys.retain(events);
        let mut rest = events.as_slice();
        let (mut backoff, mut store_backoff) = (None, None);
        let mut attempts = 0;
        if self.status.inner().activity == Activity::AtHead && self.cursor().plus(100) < through {
            self.show(Activity::CatchingUp);
        }
        while !rest.is_empty() {
            if self.is_interrupted() {
                self.reader.reset();
                return Ok(());
            }
            let (now, later) = rest.split_at(boundary(rest, self.batch));
            let end = match now.last() {
                Some(last) if !later.is_empty() => last.position,
                _ => through,
            };
            let began = Instant::now();
            match self.attempt(now, end).await {
                Ok(()) => {
                    self.done(now.len() as u64, end);
                    self.notify_committed(now);
                    self.batch = (self.batch * 2).min(self.options.batch);
                    (rest, attempts, backoff, store_backoff) = (later, 0, None, None);
                    self.pause_for_appends(began.elapsed()).await?;
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
                        // Parked, or to be read again.
                        self.reader.reset();
                        return Ok(());
                    }
                }
                Err(Failed::Projector(_)) => self.batch = (now.len() / 2).max(1),
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

    /// Projects events and moves the checkpoint, in one transaction.
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
        for (free, parked) in runs {
            if !free.is_empty() {
                self.project(&mut tx, free).await?;
            }
            if let Some(first) = parked.first() {
                let entry = self.entry(first.position, self.keys.key(first).into(), None, 0);
                read.park(&mut tx, &self.lease, &entry).await.map_err(Failed::Store)?;
            }
        }
        self.commit(tx, through).await
    }

    /// Splits events into runs: events to project, then a stored event to park, if there is one.
    #[allow(clippy::type_complexity)] // a pair of slices
    fn runs<'e>(
        &self,
        events: &'e [Recorded<P::Event>],
    ) -> Vec<(&'e [Recorded<P::Event>], &'e [Recorded<P::Event>])> {
        let (mut runs, mut rest) = (Vec::new(), events);
        while !rest.is_empty() {
            let free = as_stored(rest).take_while(|parts| !self.is_parked(parts));
            let (free, later) = rest.split_at(free.map(<[_]>::len).sum());
            let parked = as_stored(later).next().unwrap_or_default();
            runs.push((free, parked));
            rest = later.split_at(parked.len()).1;
        }
        runs
    }

    /// Returns `true` if an earlier event of the key is parked.
    fn is_parked(&self, parts: &[Recorded<P::Event>]) -> bool {
        !self.parked.is_empty()
            && parts.first().is_some_and(|first| self.parked.contains(&*self.keys.key(first)))
    }

    /// Calls the projector before a transaction begins.
    pub(super) async fn prepare(&mut self, events: &[Recorded<P::Event>]) -> Result<(), Failed> {
        let call = self.projector.prepare(events);
        let ended = AssertUnwindSafe(call).catch_unwind().await;
        self.outcome(ended)
    }

    /// Calls the projector; a panic in it is an error.
    pub(super) async fn project(
        &mut self,
        tx: &mut S::Transaction,
        events: &[Recorded<P::Event>],
    ) -> Result<(), Failed> {
        let call = self.projector.project_batch(tx, events);
        let ended = AssertUnwindSafe(call).catch_unwind().await;
        self.outcome(ended)
    }

    /// Decides whether the projector failed or the read store.
    fn outcome(&self, ended: std::thread::Result<Result<(), ProjectError>>) -> Result<(), Failed> {
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if self.shared.read.is_transient(&*error) => {
                let kind = StoreErrorKind::Unavailable;
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
                // See the third invariant of this module.
                tracing::warn!(partition = %self.lease.partition, %error, "outcome of commit unknown");
                self.shared.request_heartbeat();
                Err(Failed::Ended)
            }
        }
    }

    /// Calls `committed` if readers see the generation.
    pub(super) fn notify_committed(&self, events: &[Recorded<P::Event>]) {
        if self.swapped || self.control.borrow().live {
            let call = || self.projector.committed(events);
            if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(call)) {
                let panic = panic_message(&*panic);
                tracing::error!(partition = %self.lease.partition, panic, "`committed` panicked");
            }
        }
    }
}

/// Returns the end of the first `size` events, moved so that it does not split a stored event.
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
