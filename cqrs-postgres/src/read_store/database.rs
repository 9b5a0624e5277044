//! The database of a read store: its pool, its statements, and how transactions begin.

use std::sync::Arc;
use std::time::Duration;

use cqrs_core::store::StoreError;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, Postgres, Transaction};

use super::sql::Sql;
use crate::database::arguments::Arguments;
use crate::database::error::{sqlstate, store_error};
use crate::database::pool::{self, BEGIN, BeginError, MOST_DEAD};

/// What projectors write through: a transaction of the driver, in which a projector's own tables
/// need no schema.
///
/// ```no_run
/// # use cqrs_postgres::PgReadTransaction;
/// async fn close(tx: &mut PgReadTransaction, account: &str) -> Result<(), sqlx::Error> {
///     let update = "update accounts set closed = true where id = $1";
///     sqlx::query(update).bind(account).execute(&mut **tx).await?;
///     Ok(())
/// }
/// ```
pub type PgReadTransaction = Transaction<'static, Postgres>;

/// What the server returns if an administrator ended the session.
const ADMIN_SHUTDOWN: &str = "57P01";

#[derive(Debug)]
pub(super) struct Database {
    pub(super) pool: PgPool,
    pub(super) acquire_timeout: Duration,
    pub(super) sql: Sql,
    /// The schema of the records.
    pub(super) schema: String,
    /// The prefix of the schemas of read models.
    pub(super) prefix: String,
    /// Whether commits wait until they are on disk.
    pub(super) durable: bool,
}

impl Database {
    /// Executes a statement.
    pub(super) async fn fetch(
        &self,
        sql: &Arc<str>,
        given: Arguments,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut connection = pool::acquire(&self.pool, self.acquire_timeout).await?;
        // This is not part of every event, so there is time for a ping.
        let mut dead = 0;
        while dead < MOST_DEAD && connection.ping().await.is_err() {
            dead += 1;
            connection.close_on_drop();
            connection = pool::acquire(&self.pool, self.acquire_timeout).await?;
        }
        query(sql, given)?.fetch_all(&mut *connection).await.map_err(store_error)
    }

    pub(super) async fn begin(&self) -> Result<PgReadTransaction, StoreError> {
        self.begin_with(BEGIN).await
    }

    /// Begins a transaction with a statement that does more than that, in one round trip.
    ///
    /// A dead connection is discovered by its first use. Nothing was written then, so it is
    /// replaced.
    pub(super) async fn begin_with(
        &self,
        statement: &str,
    ) -> Result<PgReadTransaction, StoreError> {
        let mut dead = 0;
        loop {
            let begun = pool::begin(&self.pool, self.acquire_timeout, statement.to_owned()).await;
            let error = match begun {
                Ok(begun) => return Ok(begun),
                Err(BeginError::Acquire(error)) => return Err(error),
                Err(BeginError::Execute(error)) => error,
            };
            let is_dead =
                matches!(error, sqlx::Error::Io(_)) || sqlstate(&error) == Some(ADMIN_SHUTDOWN);
            if !is_dead || dead == MOST_DEAD {
                if statement != BEGIN && sqlstate(&error).is_some() {
                    self.roll_back_idle().await;
                }
                return Err(store_error(error));
            }
            dead += 1;
        }
    }

    /// Cleans up after a statement that failed after its `begin`, for example because the tables
    /// were dropped: the driver does not know that a transaction is open on the connection that it
    /// took back.
    async fn roll_back_idle(&self) {
        let mut idle = Vec::new();
        while let Some(mut connection) = self.pool.try_acquire() {
            if sqlx::query("rollback").execute(&mut *connection).await.is_err() {
                connection.close_on_drop();
            }
            idle.push(connection);
        }
    }

    /// The schema of a read model, quoted.
    pub(super) fn schema_of(&self, consumer: &str) -> String {
        format!("\"{}{}\"", self.prefix, consumer.replace('"', "\"\""))
    }
}

pub(super) fn query(
    sql: &Arc<str>,
    given: Arguments,
) -> Result<Query<'static, Postgres, PgArguments>, StoreError> {
    let given = given.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
    Ok(sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), given))
}

/// Executes a statement in a transaction.
pub(super) async fn execute(
    tx: &mut PgReadTransaction,
    sql: &Arc<str>,
    given: Arguments,
) -> Result<Vec<PgRow>, StoreError> {
    query(sql, given)?.fetch_all(&mut **tx).await.map_err(store_error)
}
