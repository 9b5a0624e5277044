//! Pools of the driver: those that an application shares with a store, and those of a read store.

use std::time::Duration;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr, Transaction};
use tokio::time::timeout;

use super::connect::target;
use super::error::store_error;

/// How long a request waits for a free connection, unless configured otherwise.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many dead connections of a pool are discarded before an error is returned.
pub(crate) const MOST_DEAD: usize = 32;

/// Begins a transaction. Locks have to be followed by a fresh snapshot, whatever the default of the
/// pool is.
pub(crate) const BEGIN: &str = "begin isolation level read committed";

/// Takes a connection.
pub(crate) async fn acquire(
    pool: &PgPool,
    within: Duration,
) -> Result<PoolConnection<Postgres>, StoreError> {
    match timeout(within, pool.acquire()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(acquire_error(pool, within, error)),
        Err(_) => Err(acquire_error(pool, within, sqlx::Error::PoolTimedOut)),
    }
}

/// Why no transaction was begun.
pub(crate) enum BeginError {
    /// No connection became free.
    Acquire(StoreError),
    /// The statement failed.
    Execute(sqlx::Error),
}

/// Takes a connection and begins a transaction on it.
///
/// In a separate task, so that it completes even if the caller is dropped. Otherwise the driver
/// would take a connection back without knowing that a transaction is open on it, and its locks
/// would be held by the next user.
pub(crate) async fn begin(
    pool: &PgPool,
    within: Duration,
    statement: String,
) -> Result<Transaction<'static, Postgres>, BeginError> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move {
        let connection = acquire(&pool, within).await.map_err(BeginError::Acquire)?;
        let begun = Transaction::begin(connection, Some(AssertSqlSafe(statement).into_sql_str()));
        begun.await.map_err(BeginError::Execute)
    });
    begun.await.unwrap_or(Err(BeginError::Execute(sqlx::Error::WorkerCrashed)))
}

/// Names the pool that had no connection to give.
fn acquire_error(pool: &PgPool, within: Duration, error: sqlx::Error) -> StoreError {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return store_error(error);
    }
    let within = within.min(pool.options().get_acquire_timeout());
    let message = format!(
        "no connection of the pool to {} became free within {within:?} ({} of {} are open); \
         enlarge the pool or hold its connections for a shorter time",
        target(&pool.connect_options()),
        pool.size(),
        pool.options().get_max_connections(),
    );
    StoreError::new(StoreErrorKind::Timeout, message).with_source(error)
}

/// Fails if the transactions of a pool do not run at READ COMMITTED, on which leases rely.
pub(crate) async fn check_isolation(pool: &PgPool, within: Duration) -> Result<(), StoreError> {
    let mut connection = acquire(pool, within).await?;
    let level: String = sqlx::query_scalar("show default_transaction_isolation")
        .fetch_one(&mut *connection)
        .await
        .map_err(store_error)?;
    if level == "read committed" {
        return Ok(());
    }
    let message = format!(
        "the pool to {} uses the isolation level {level}; set its option \
         `default_transaction_isolation` to `read committed`",
        target(&pool.connect_options())
    );
    Err(StoreError::new(StoreErrorKind::Unsupported, message))
}
