//! The queue of appends, from the caller's side.

use std::sync::Arc;

use cqrs_core::store::{Append, AppendError, Appended, StoreError, StoreErrorKind};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::batch::Verdict;
use super::prepared::Prepared;
use super::repeated::{self, Source};
use super::writer::{Job, Writer};
use crate::database::Database;
use crate::database::error::closed;

/// How often an append is sent that is rejected as repeated and then cannot be found.
const ATTEMPTS: usize = 3;

/// Hands appends to the writer. When it is dropped, the writer stores what is queued and ends.
#[derive(Debug)]
pub(crate) struct Appends {
    database: Arc<Database>,
    queue: mpsc::Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Set when the writer is to accept nothing new.
    closing: watch::Sender<bool>,
}

impl Appends {
    /// Starts the writer, with a queue of this capacity.
    pub(crate) fn start(
        database: Arc<Database>,
        connection: PgConnection,
        options: PgConnectOptions,
        capacity: usize,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(capacity);
        let (closing, is_closing) = watch::channel(false);
        let writer = Writer::new(jobs, is_closing, options, Arc::clone(&database));
        let writer = Mutex::new(Some(tokio::spawn(writer.run(connection))));
        Self { database, queue, writer, closing }
    }

    pub(crate) async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let database = &*self.database;
        let mut prepared = Box::new(Prepared::new(append, database).await?);
        for _ in 0..ATTEMPTS {
            let (reply, answer) = oneshot::channel();
            self.queue.send(Job { prepared, reply }).await.map_err(|_| closed())?;
            // The writer answers everything it took; there is no answer only if it was aborted.
            let answer = answer.await.map_err(|_| AppendError::OutcomeUnknown(closed()))?;
            prepared = answer.prepared;
            let conflict = match answer.verdict? {
                Verdict::Stored(appended) => return Ok(appended),
                Verdict::Conflict(conflict) => return Err(conflict.into()),
                Verdict::Repeated(conflict) => conflict,
                Verdict::OutOfDate => {
                    prepared = Box::new(Prepared::new(prepared.append, database).await?);
                    continue;
                }
            };
            let mut source = Source::Connections(&database.connections);
            let sql = &database.sql;
            if let Some(first) = repeated::find(&mut source, sql, &prepared.append).await? {
                return Ok(first);
            }
            if let Some(conflict) = conflict {
                return Err(conflict.into());
            }
        }
        let message = format!("the append had no definite outcome in {ATTEMPTS} attempts");
        Err(StoreError::new(StoreErrorKind::Unavailable, message).into())
    }

    /// Accepts nothing new, and waits until everything queued is answered.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        let mut writer = self.writer.lock().await;
        if let Some(running) = writer.as_mut() {
            // If it panicked, the callers that waited have received an error.
            let _ = running.await;
            *writer = None;
        }
    }
}
