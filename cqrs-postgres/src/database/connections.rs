//! The connections of reads.
//!
//! Unless an application shares its pool, these are not in a pool of the driver: that one checks a
//! connection before and after every use, which costs more than most of our queries. A connection
//! is used without a check; a read that finds it dead is repeated on a new one.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Connection, Postgres};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::arguments::Arguments;
use super::connect::{connect, target};
use super::epoch::Epoch;
use super::error::{closed, is_lost, no_response, store_error};
use super::pool::{MOST_DEAD, acquire};

/// How reads connect.
#[derive(Debug)]
pub(crate) struct ConnectionOptions {
    /// The server and the session, also for connections outside of a pool.
    pub(crate) options: PgConnectOptions,
    /// The pool to share; `None`: connections of the store's own.
    pub(crate) pool: Option<PgPool>,
    /// Maximum number of own connections.
    pub(crate) max: usize,
    /// How long to wait for a free connection.
    pub(crate) acquire_timeout: Duration,
    /// How long a statement may take before its connection is given up.
    pub(crate) response_timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Connections {
    setup: ConnectionOptions,
    epoch: Epoch,
    permits: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

/// Why a statement has no result.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// It was not executed, or was rolled back.
    NotExecuted(StoreError),
    /// It may have been executed.
    Unknown(StoreError),
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        Self::NotExecuted(error)
    }
}

impl From<FetchError> for StoreError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NotExecuted(error) | FetchError::Unknown(error) => error,
        }
    }
}

impl Connections {
    pub(crate) fn new(setup: ConnectionOptions, epoch: Epoch) -> Self {
        // A shared pool has its own limit.
        let permits = if setup.pool.is_some() { Semaphore::MAX_PERMITS } else { setup.max };
        let (permits, idle) = (Semaphore::new(permits), Mutex::new(Vec::new()));
        Self { setup, epoch, permits, idle }
    }

    /// Opens a connection that belongs to the caller and does not count.
    pub(crate) async fn open(&self) -> Result<PgConnection, StoreError> {
        if self.permits.is_closed() {
            return Err(closed());
        }
        connect(&self.setup.options).await
    }

    /// How long a statement may take before its connection is given up.
    pub(crate) const fn response_timeout(&self) -> Duration {
        self.setup.response_timeout
    }

    /// Executes a statement that may be executed twice.
    pub(crate) async fn fetch(
        &self,
        sql: &Arc<str>,
        arguments: Arguments,
    ) -> Result<Vec<PgRow>, StoreError> {
        let arguments = arguments.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
        let mut dead = 0;
        loop {
            let checkout = self.check_out().await?;
            let was_idle = checkout.was_idle;
            match checkout.fetch(sql, arguments.clone()).await {
                // A connection that died while it was idle says nothing about the server now. No
                // idle one of our own is left after it; a pool may have several.
                Err(FetchError::Unknown(error)) if was_idle && dead < MOST_DEAD => {
                    let timed_out = error.kind() == StoreErrorKind::Timeout;
                    dead += if timed_out { MOST_DEAD } else { 1 };
                }
                fetched => return Ok(fetched?),
            }
        }
    }

    /// Executes a statement that must not be executed twice.
    pub(crate) async fn fetch_once(
        &self,
        sql: &Arc<str>,
        arguments: Arguments,
    ) -> Result<Vec<PgRow>, FetchError> {
        let arguments = arguments.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
        let mut checkout = self.check_out().await?;
        let mut dead = 0;
        while checkout.was_idle && dead < MOST_DEAD && !checkout.is_alive().await {
            dead += 1;
            self.lost();
            drop(checkout);
            checkout = self.check_out().await?;
        }
        checkout.fetch(sql, arguments).await
    }

    /// Executes a statement that may be executed twice, for a caller that may hold the last
    /// connection of the shared pool: if none is free, on a connection opened for it.
    pub(crate) async fn fetch_without_waiting(
        &self,
        sql: &Arc<str>,
        arguments: Arguments,
    ) -> Result<Vec<PgRow>, StoreError> {
        let is_exhausted = self.setup.pool.as_ref().is_some_and(|pool| pool.num_idle() == 0);
        if !is_exhausted {
            return self.fetch(sql, arguments).await;
        }
        let arguments = arguments.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
        let connection = Link::Own(self.open().await?);
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let checkout = Checkout { connections: self, link: connection, was_idle: false, permit };
        Ok(checkout.fetch(sql, arguments).await?)
    }

    async fn check_out(&self) -> Result<Checkout<'_>, StoreError> {
        let permit = match timeout(self.setup.acquire_timeout, self.permits.acquire()).await {
            Ok(permit) => permit.map_err(|_| closed())?,
            Err(_) => return Err(self.exhausted()),
        };
        if let Some(pool) = &self.setup.pool {
            let link = Link::Pooled(acquire(pool, self.setup.acquire_timeout).await?);
            return Ok(Checkout { connections: self, link, was_idle: true, permit });
        }
        let idle = self.idle().pop();
        let was_idle = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.setup.options).await?,
        };
        Ok(Checkout { connections: self, link: Link::Own(connection), was_idle, permit })
    }

    fn exhausted(&self) -> StoreError {
        let ConnectionOptions { options, max, acquire_timeout, .. } = &self.setup;
        let message = format!(
            "all {max} read connections to {} were in use for {acquire_timeout:?}; \
             raise `max_read_connections`",
            target(options)
        );
        StoreError::new(StoreErrorKind::Timeout, message)
    }

    /// One connection died, so the idle ones may be dead as well.
    fn lost(&self) {
        self.epoch.connection_lost();
        self.idle().clear();
    }

    /// Rejects everything from now on.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        // Nothing panics while it is locked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use.
struct Checkout<'a> {
    connections: &'a Connections,
    link: Link,
    was_idle: bool,
    permit: SemaphorePermit<'a>,
}

enum Link {
    Own(PgConnection),
    Pooled(PoolConnection<Postgres>),
}

impl Deref for Link {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Pooled(connection) => connection,
        }
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Pooled(connection) => connection,
        }
    }
}

impl Checkout<'_> {
    /// Executes a statement and returns the connection. If the future is dropped meanwhile, an own
    /// connection is closed: its next user must not receive a response that is still on its way.
    /// (A pool of the driver discards such responses itself.)
    async fn fetch(mut self, sql: &Arc<str>, given: PgArguments) -> Result<Vec<PgRow>, FetchError> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), given);
        let within = self.connections.setup.response_timeout;
        let fetched = match timeout(within, query.fetch_all(&mut *self.link)).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) if is_lost(&error) => Err(FetchError::Unknown(store_error(error))),
            Ok(Err(error)) => Err(FetchError::NotExecuted(store_error(error))),
            Err(_) => Err(FetchError::Unknown(no_response())),
        };
        if matches!(fetched, Err(FetchError::Unknown(_))) {
            self.connections.lost();
            self.discard();
        } else {
            self.give_back();
        }
        fetched
    }

    async fn is_alive(&mut self) -> bool {
        let within = self.connections.setup.response_timeout;
        let is_alive = matches!(timeout(within, self.link.ping()).await, Ok(Ok(())));
        if let (Link::Pooled(connection), false) = (&mut self.link, is_alive) {
            connection.close_on_drop();
        }
        is_alive
    }

    fn discard(self) {
        if let Link::Pooled(mut connection) = self.link {
            connection.close_on_drop();
        }
    }

    fn give_back(self) {
        let Self { connections, link, permit, .. } = self;
        match link {
            Link::Own(connection) if connections.setup.pool.is_none() => {
                if !connections.permits.is_closed() {
                    connections.idle().push(connection);
                }
            }
            // Dropped: closed, or returned to its pool.
            Link::Own(_) | Link::Pooled(_) => {}
        }
        drop(permit);
    }
}
