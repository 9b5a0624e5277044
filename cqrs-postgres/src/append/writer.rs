//! Group commit: one task, one connection, one transaction at a time.
//!
//! Appends that arrive while a transaction is in flight share the next one. There is no timer: an
//! idle writer sends at once. Each append of a batch has its own outcome.
//!
//! Invariants:
//! - No append is answered before the transaction has ended.
//! - An append that was taken from the queue is answered exactly once, unless its caller is gone.
//! - Appends to one stream are sent in the order in which they were queued.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cqrs_core::{
    StreamName,
    store::{AppendError, StoreError},
};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::batch::{self, Outcome, Verdict};
use super::prepared::Prepared;
use crate::database::Database;
use crate::database::connect::{connect, with_durable_commits};
use crate::database::error::{
    is_about_content, is_duplicate, is_lost, no_response, shared, shared_store_error,
};

/// A batch ends with the append that reaches one of these limits.
const MAX_APPENDS: usize = 1_024;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A connection that was idle for longer is pinged before an append is sent: a connection found
/// dead costs nothing, one that dies with an append leaves its outcome unknown.
const MAX_IDLE: Duration = Duration::from_millis(500);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// An append in the queue.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prepared: Box<Prepared>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// The outcome of a job. The append is returned to callers that have to try again.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) prepared: Box<Prepared>,
    pub(crate) verdict: Result<Verdict, AppendError>,
}

pub(crate) struct Writer {
    queue: mpsc::Receiver<Job>,
    closing: watch::Receiver<bool>,
    options: PgConnectOptions,
    database: Arc<Database>,
    connection: Option<PgConnection>,
    last_used: Instant,
    /// Taken from the queue and left for the next batch, in order.
    postponed: VecDeque<Job>,
}

/// Why a batch has no outcome.
enum SendError {
    /// The server rejected it and stored nothing.
    NotExecuted(Arc<sqlx::Error>),
    /// The connection was lost after it was sent.
    Lost(Arc<sqlx::Error>),
    /// There was no response in time.
    NoResponse,
}

impl Writer {
    pub(crate) fn new(
        queue: mpsc::Receiver<Job>,
        closing: watch::Receiver<bool>,
        options: PgConnectOptions,
        database: Arc<Database>,
    ) -> Self {
        let (last_used, postponed) = (Instant::now(), VecDeque::new());
        Self { queue, closing, options, database, connection: None, last_used, postponed }
    }

    /// Works until the store is closed or dropped and everything queued is answered.
    pub(crate) async fn run(mut self, connection: PgConnection) {
        self.connection = with_durable_commits(connection).await.ok();
        while let Some(batch) = self.next_batch().await {
            self.commit(batch).await;
        }
        if let Some(connection) = self.connection.take() {
            // Everything is answered, so a failure to say goodbye does not matter.
            let _ = connection.close().await;
        }
    }

    async fn next_batch(&mut self) -> Option<Vec<Job>> {
        if self.postponed.is_empty() {
            let job = self.next_job().await?;
            self.postponed.push_back(job);
        }
        if self.queue.len() < MAX_APPENDS {
            // Callers that were just answered are about to append again: letting them run first
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

    /// Takes the appends of one batch: no stream twice, within the limits.
    fn collect(&mut self) -> Vec<Job> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut taken = HashSet::<StreamName>::new();
        let mut left = VecDeque::new();
        while batch.len() < MAX_APPENDS && left.len() < MAX_APPENDS {
            let Some(job) = self.postponed.pop_front().or_else(|| self.queue.try_recv().ok())
            else {
                break;
            };
            if job.reply.is_closed() {
                // Its caller is gone.
                continue;
            }
            if !batch.is_empty() && bytes + job.prepared.bytes() > MAX_BYTES {
                left.push_back(job);
                break;
            }
            // A postponed append reserves its streams too, so that no later one overtakes it.
            let mut is_taken = false;
            for stream in job.prepared.streams() {
                is_taken |= !taken.insert(stream.clone());
            }
            if is_taken {
                left.push_back(job);
            } else {
                bytes += job.prepared.bytes();
                batch.push(job);
            }
        }
        left.append(&mut self.postponed);
        self.postponed = left;
        batch
    }

    async fn commit(&mut self, batch: Vec<Job>) {
        if let Err(error) = self.connect().await {
            let error = Arc::new(error);
            for job in batch {
                job.answer(Err(shared(&error).into()));
            }
            return;
        }
        let now = self.database.epoch.now();
        let (batch, out_of_date): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|job| job.prepared.is_of(now));
        for job in out_of_date {
            job.answer(Ok(Verdict::OutOfDate));
        }
        let prepared: Vec<&Prepared> = batch.iter().map(|job| &*job.prepared).collect();
        if prepared.is_empty() {
            return;
        }
        match self.send(&prepared).await {
            Ok(outcome) => {
                self.remember(&outcome);
                for (job, verdict) in batch.into_iter().zip(outcome.verdicts) {
                    job.answer(Ok(verdict));
                }
            }
            // The content of one append was rejected. It must not fail the others, so each is sent
            // alone.
            Err(SendError::NotExecuted(error)) if batch.len() > 1 && is_about_content(&error) => {
                for job in batch {
                    Box::pin(self.commit(vec![job])).await;
                }
            }
            Err(failed) => {
                for job in batch {
                    let verdict = failed.verdict(&job.prepared);
                    job.answer(verdict);
                }
            }
        }
    }

    fn remember(&self, outcome: &Outcome) {
        self.database.head.raise(outcome.head);
        let mut cache = self.database.names.cache();
        for (stream, id) in &outcome.streams {
            cache.add_stream_id(stream, *id);
        }
    }

    async fn send(&mut self, batch: &[&Prepared]) -> Result<Outcome, SendError> {
        // Taken out, so that it is not used again if this is dropped in the middle of a statement.
        let Some(mut connection) = self.connection.take() else {
            return Err(SendError::NoResponse);
        };
        let database = &*self.database;
        let sent =
            batch::send(&mut connection, &database.sql, &database.names, batch, database.now());
        let failed = match timeout(database.connections.response_timeout(), sent).await {
            Ok(Err(error)) if is_lost(&error) => SendError::Lost(Arc::new(error)),
            Err(_) => SendError::NoResponse,
            Ok(sent) => {
                self.connection = Some(connection);
                self.last_used = Instant::now();
                return sent.map_err(|error| SendError::NotExecuted(Arc::new(error)));
            }
        };
        database.epoch.connection_lost();
        Err(failed)
    }

    /// Makes sure of a connection that was alive a moment ago.
    async fn connect(&mut self) -> Result<(), StoreError> {
        if let Some(mut connection) = self.connection.take() {
            let was_used = self.last_used.elapsed() <= MAX_IDLE;
            if was_used || matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(()))) {
                self.connection = Some(connection);
                return Ok(());
            }
            self.database.epoch.connection_lost();
        }
        self.connection = Some(with_durable_commits(connect(&self.options).await?).await?);
        self.last_used = Instant::now();
        Ok(())
    }
}

impl Job {
    fn answer(self, verdict: Result<Verdict, AppendError>) {
        // Fails if the caller is gone, which changes nothing of what is stored.
        let _ = self.reply.send(Answer { prepared: self.prepared, verdict });
    }
}

impl SendError {
    /// The outcome of one append of the batch.
    fn verdict(&self, prepared: &Prepared) -> Result<Verdict, AppendError> {
        match self {
            Self::NotExecuted(error) if is_duplicate(error) => Ok(Verdict::Repeated(None)),
            Self::NotExecuted(error) => Err(prepared.explain(shared_store_error(error))),
            Self::Lost(error) => Err(AppendError::OutcomeUnknown(shared_store_error(error))),
            Self::NoResponse => Err(AppendError::OutcomeUnknown(no_response())),
        }
    }
}
