//! Group commit: one task, one connection, one transaction at a time.
//!
//! Appends that arrive while a commit is on its way share the next one. There is no timer: an
//! idle writer sends at once. Each append of a batch gets its own answer.
//!
//! Invariants:
//! - No answer is given before the transaction has ended.
//! - An append that was taken from the queue is answered exactly once, or its caller has gone.
//! - Appends to one stream are sent in the order they were queued in.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cqrs_core::{
    StreamName,
    app::Clock,
    store::{AppendError, StoreError},
};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::batch::{self, Outcome};
use super::{Prepared, Verdict};
use crate::connections::connect;
use crate::epoch::Epoch;
use crate::error::{self, is_about_content, is_lost, no_answer, store_error};
use crate::head::Head;
use crate::names::Names;
use crate::sql::Sql;

/// A batch ends with the append that reaches one of these.
const MOST_APPENDS: usize = 1_024;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A connection that rested longer is asked whether it lives before it is trusted with an append:
/// one found dead costs nothing, one that dies with an append costs the caller certainty.
const RESTED: Duration = Duration::from_millis(500);
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// An append that waits for a commit.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prepared: Box<Prepared>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// What became of it; the append comes back for those who have to try again.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) prepared: Box<Prepared>,
    pub(crate) verdict: Result<Verdict, AppendError>,
}

/// What the writer works with.
pub(crate) struct Setup {
    pub(crate) options: PgConnectOptions,
    /// The longest wait for an answer.
    pub(crate) within: Duration,
    pub(crate) sql: Arc<Sql>,
    pub(crate) names: Arc<Names>,
    pub(crate) head: Arc<Head>,
    pub(crate) epoch: Epoch,
    /// The time of storing, if it is not the server's.
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

pub(crate) struct Writer {
    queue: mpsc::Receiver<Job>,
    closing: watch::Receiver<bool>,
    setup: Setup,
    connection: Option<PgConnection>,
    last_used: Instant,
    /// Taken from the queue and left for the next batch, in order.
    waiting: VecDeque<Job>,
}

/// Why a batch has no outcome.
enum Failure {
    /// The server answered that nothing was stored.
    NotExecuted(Arc<sqlx::Error>),
    /// It was sent, and there was no answer.
    Unknown(Arc<sqlx::Error>),
    /// The same, because it took too long.
    Silence,
}

impl Writer {
    pub(crate) fn new(
        queue: mpsc::Receiver<Job>,
        closing: watch::Receiver<bool>,
        setup: Setup,
    ) -> Self {
        let (last_used, waiting) = (Instant::now(), VecDeque::new());
        Self { queue, closing, setup, connection: None, last_used, waiting }
    }

    /// Works until the store is closed or dropped and all that was queued is answered.
    pub(crate) async fn run(mut self, connection: PgConnection) {
        self.connection = durable(connection).await.ok();
        while let Some(batch) = self.next_batch().await {
            self.commit(batch).await;
        }
        if let Some(connection) = self.connection.take() {
            // Everything is answered; how the connection ends does not matter.
            let _ = connection.close().await;
        }
    }

    async fn next_batch(&mut self) -> Option<Vec<Job>> {
        if self.waiting.is_empty() {
            let job = self.next_job().await?;
            self.waiting.push_back(job);
        }
        if self.queue.len() < MOST_APPENDS {
            // Those who were just answered are about to append again: letting them run first
            // doubles the batch and costs an idle store nothing.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        Some(self.collect())
    }

    async fn next_job(&mut self) -> Option<Job> {
        if !self.queue.is_closed() {
            tokio::select! {
                biased;
                // An error means that the store was dropped, which closes the queue as well.
                Ok(_) = self.closing.wait_for(|closing| *closing) => self.queue.close(),
                job = self.queue.recv() => return job,
            }
        }
        self.queue.recv().await
    }

    /// As many as go together: no stream twice, within the bounds.
    fn collect(&mut self) -> Vec<Job> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut taken = HashSet::<StreamName>::new();
        let mut left = VecDeque::new();
        while batch.len() < MOST_APPENDS && left.len() < MOST_APPENDS {
            let Some(job) = self.waiting.pop_front().or_else(|| self.queue.try_recv().ok()) else {
                break;
            };
            if job.reply.is_closed() {
                // Nobody waits for it any more.
                continue;
            }
            if !batch.is_empty() && bytes + job.prepared.bytes() > MOST_BYTES {
                left.push_back(job);
                break;
            }
            // What is left behind holds its streams too, so that nobody overtakes it there.
            let mut met = false;
            for stream in job.prepared.streams() {
                met |= !taken.insert(stream.clone());
            }
            if met {
                left.push_back(job);
            } else {
                bytes += job.prepared.bytes();
                batch.push(job);
            }
        }
        left.append(&mut self.waiting);
        self.waiting = left;
        batch
    }

    async fn commit(&mut self, batch: Vec<Job>) {
        if let Err(error) = self.connect().await {
            for job in batch {
                job.answer(Err(StoreError::new(error.kind(), error.to_string()).into()));
            }
            return;
        }
        let now = self.setup.epoch.now();
        let (batch, stale): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|job| job.prepared.is_of(now));
        for job in stale {
            job.answer(Ok(Verdict::Stale));
        }
        let prepared: Vec<&Prepared> = batch.iter().map(|job| &*job.prepared).collect();
        if prepared.is_empty() {
            return;
        }
        match self.send(&prepared).await {
            Ok(outcome) => {
                self.learn(&outcome);
                for (job, verdict) in batch.into_iter().zip(outcome.verdicts) {
                    job.answer(Ok(verdict));
                }
            }
            // Somebody's content is refused: the others must not suffer, so each goes alone.
            Err(Failure::NotExecuted(error)) if batch.len() > 1 && is_about_content(&error) => {
                for job in batch {
                    Box::pin(self.commit(vec![job])).await;
                }
            }
            Err(failure) => {
                for job in batch {
                    let verdict = failure.of(&job.prepared);
                    job.answer(verdict);
                }
            }
        }
    }

    fn learn(&self, outcome: &Outcome) {
        self.setup.head.raise(outcome.head);
        let mut known = self.setup.names.known();
        for (stream, id) in &outcome.streams {
            known.learn_stream_id(stream, *id);
        }
    }

    async fn send(&mut self, batch: &[&Prepared]) -> Result<Outcome, Failure> {
        // Taken out, so that one dropped in the middle of a statement is not used again.
        let Some(mut connection) = self.connection.take() else { return Err(Failure::Silence) };
        let now = self.setup.clock.as_ref().map(|clock| clock.now());
        let sending = batch::send(&mut connection, &self.setup.sql, &self.setup.names, batch, now);
        let failure = match timeout(self.setup.within, sending).await {
            Ok(Err(error)) if is_lost(&error) => Failure::Unknown(Arc::new(error)),
            Err(_) => Failure::Silence,
            Ok(answered) => {
                self.connection = Some(connection);
                self.last_used = Instant::now();
                return answered.map_err(|error| Failure::NotExecuted(Arc::new(error)));
            }
        };
        self.setup.epoch.connection_lost();
        Err(failure)
    }

    /// Makes sure of a connection that was alive a moment ago.
    async fn connect(&mut self) -> Result<(), StoreError> {
        if let Some(mut connection) = self.connection.take() {
            let rested = self.last_used.elapsed() > RESTED;
            if !rested || matches!(timeout(ALIVE_WITHIN, connection.ping()).await, Ok(Ok(()))) {
                self.connection = Some(connection);
                return Ok(());
            }
            self.setup.epoch.connection_lost();
        }
        self.connection = Some(durable(connect(&self.setup.options).await?).await?);
        self.last_used = Instant::now();
        Ok(())
    }
}

/// Nothing is acknowledged before it is durable, whatever the server's default is.
pub(crate) async fn durable(mut connection: PgConnection) -> Result<PgConnection, StoreError> {
    let sql = "select set_config('synchronous_commit', 'on', false) \
                    where current_setting('synchronous_commit') = 'off'";
    sqlx::query(sql).execute(&mut connection).await.map_err(store_error)?;
    Ok(connection)
}

impl Job {
    fn answer(self, verdict: Result<Verdict, AppendError>) {
        // A caller that has gone does not hear it; what is stored is stored.
        let _ = self.reply.send(Answer { prepared: self.prepared, verdict });
    }
}

impl Failure {
    fn of(&self, prepared: &Prepared) -> Result<Verdict, AppendError> {
        match self {
            Self::NotExecuted(error) if error::is_duplicate(error) => Ok(Verdict::Known(None)),
            Self::NotExecuted(error) => Err(prepared.blame(error::shared_store_error(error))),
            Self::Unknown(error) => {
                Err(AppendError::OutcomeUnknown(error::shared_store_error(error)))
            }
            Self::Silence => Err(AppendError::OutcomeUnknown(no_answer())),
        }
    }
}
