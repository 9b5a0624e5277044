//! The connections that reads share.
//!
//! Not sqlx's pool: that one asks the server for a sign of life before and after every use, which
//! costs more than most of our queries. A connection here is used as it is; a read that finds it
//! dead is done again on a new one, once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::epoch::Epoch;
use crate::error::{closed, is_lost, no_answer, store_error};

/// The longest wait for a server to take a connection.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Opens a connection.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    match timeout(CONNECT_WITHIN, options.connect()).await {
        Ok(connected) => connected.map_err(store_error),
        Err(_) => {
            Err(StoreError::new(StoreErrorKind::Unavailable, "the database takes no connection"))
        }
    }
}

/// What a statement is given.
pub(crate) type Arguments = Result<PgArguments, sqlx::error::BoxDynError>;

/// Arguments in the order of `$1`, `$2` ...
macro_rules! arguments {
    ($($value:expr),* $(,)?) => {{
        let arguments = sqlx::postgres::PgArguments::default();
        let given = Ok::<_, sqlx::error::BoxDynError>(arguments);
        $(let given = given.and_then(|mut arguments| {
            sqlx::Arguments::add(&mut arguments, $value)?;
            Ok(arguments)
        });)*
        given
    }};
}
pub(crate) use arguments;

#[derive(Debug)]
pub(crate) struct Connections {
    options: PgConnectOptions,
    within: Duration,
    epoch: Epoch,
    permits: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

impl Connections {
    /// At most so many at once, each statement within this time.
    pub(crate) const fn new(
        options: PgConnectOptions,
        most: usize,
        within: Duration,
        epoch: Epoch,
    ) -> Self {
        let permits = Semaphore::const_new(most);
        Self { options, within, epoch, permits, idle: Mutex::new(Vec::new()) }
    }

    /// A connection of the caller's own, not counted among the others.
    pub(crate) async fn open(&self) -> Result<PgConnection, StoreError> {
        if self.permits.is_closed() {
            return Err(closed());
        }
        connect(&self.options).await
    }

    /// How long a statement may take before its connection is given up.
    pub(crate) const fn within(&self) -> Duration {
        self.within
    }

    /// The rows a statement answers with. It may be run twice, so it must not matter.
    pub(crate) async fn fetch(
        &self,
        sql: &Arc<str>,
        arguments: Arguments,
    ) -> Result<Vec<PgRow>, StoreError> {
        let arguments = arguments.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
        loop {
            let mut lease = self.lease().await?;
            match lease.fetch(sql, arguments.clone()).await {
                Ok(rows) => {
                    lease.give_back();
                    return Ok(rows);
                }
                Err(Failure::NotExecuted(error)) => {
                    lease.give_back();
                    return Err(error);
                }
                // What died in idleness says nothing about the server now. The loop ends because
                // a new connection is not retried.
                Err(Failure::Unknown(_)) if lease.was_idle => {}
                Err(Failure::Unknown(error)) => return Err(error),
            }
        }
    }

    /// The same for a statement that must not run twice. `Lost` means that it may have run.
    pub(crate) async fn fetch_once(
        &self,
        sql: &Arc<str>,
        arguments: Arguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let arguments = arguments.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
        let mut lease = self.lease().await?;
        if lease.was_idle && !lease.is_alive().await {
            self.lost();
            drop(lease);
            lease = self.lease().await?;
        }
        let fetched = lease.fetch(sql, arguments).await;
        if !matches!(fetched, Err(Failure::Unknown(_))) {
            lease.give_back();
        }
        fetched
    }

    async fn lease(&self) -> Result<Checkout<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let idle = self.idle().pop();
        let was_idle = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.options).await?,
        };
        Ok(Checkout { connections: self, connection, was_idle, _permit: permit })
    }

    /// One died, so all that wait are suspect.
    fn lost(&self) {
        self.epoch.connection_lost();
        self.idle().clear();
    }

    /// Refuses everything from now on.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        // Nothing panics under it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a statement has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not happen.
    NotExecuted(StoreError),
    /// It may have happened.
    Unknown(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::NotExecuted(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotExecuted(error) | Failure::Unknown(error) => error,
        }
    }
}

/// A connection in use. Dropped in the middle of a statement it is closed, not given back: the
/// next user must not inherit an answer on its way.
struct Checkout<'a> {
    connections: &'a Connections,
    connection: PgConnection,
    was_idle: bool,
    _permit: SemaphorePermit<'a>,
}

impl Checkout<'_> {
    async fn fetch(&mut self, sql: &Arc<str>, given: PgArguments) -> Result<Vec<PgRow>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), given);
        let lost =
            match timeout(self.connections.within, query.fetch_all(&mut self.connection)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if is_lost(&error) => store_error(error),
                Ok(Err(error)) => return Err(Failure::NotExecuted(store_error(error))),
                Err(_) => no_answer(),
            };
        self.connections.lost();
        Err(Failure::Unknown(lost))
    }

    async fn is_alive(&mut self) -> bool {
        matches!(timeout(self.connections.within, self.connection.ping()).await, Ok(Ok(())))
    }

    fn give_back(self) {
        if !self.connections.permits.is_closed() {
            self.connections.idle().push(self.connection);
        }
    }
}
