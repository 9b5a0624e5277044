//! Appending in a transaction of the caller.

use std::sync::Arc;

use cqrs_core::store::{Append, AppendError, Appended, StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Postgres, Row, Transaction};

use super::PgStore;
use crate::append::batch::{self, Verdict};
use crate::append::prepared::Prepared;
use crate::append::repeated::{self, Source};
use crate::database::error::store_error;
use crate::database::names::Names;

impl PgStore {
    /// Appends in a transaction of the caller, so that events and other tables change together.
    /// The contract is that of [`append`](cqrs_core::EventStore::append). The events exist when the
    /// transaction commits, and never existed if it is rolled back.
    ///
    /// # Cost
    /// From this call until the end of the transaction **every other append of the store waits**,
    /// because positions are assigned in the order of commits. Do everything else first, append
    /// last, and commit at once. If one transaction in fifty pauses for 300 ms before its commit,
    /// the store completes a seventh of its appends.
    ///
    /// # Errors
    /// As `append`. [`Unsupported`](StoreErrorKind::Unsupported) if the transaction runs above READ
    /// COMMITTED. After an [`AppendError::Store`] the transaction is unusable and has to be rolled
    /// back; after other errors it continues.
    ///
    /// # Cancel safety
    /// If you drop the future, the append may be part of the transaction: roll it back.
    pub async fn append_in(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        append: Append,
    ) -> Result<Appended, AppendError> {
        let prepared = self.prepare(append).await?;
        self.append_prepared(transaction, &prepared).await
    }

    /// The part that needs no transaction.
    pub(crate) async fn prepare(&self, append: Append) -> Result<Prepared, AppendError> {
        Prepared::new(append, self.database()).await
    }

    pub(crate) async fn append_prepared(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        prepared: &Prepared,
    ) -> Result<Appended, AppendError> {
        let database = self.database();
        let lock = sqlx::query(AssertSqlSafe(Arc::clone(&database.sql.lock_log)))
            .fetch_one(&mut **transaction)
            .await
            .map_err(store_error)?;
        let isolation: &str = lock.try_get(0).map_err(store_error)?;
        if !matches!(isolation, "read committed" | "read uncommitted") {
            let message = format!(
                "appends need the isolation level READ COMMITTED, the transaction is {isolation}"
            );
            return Err(StoreError::new(StoreErrorKind::Unsupported, message).into());
        }
        // While the lock is held nothing is appended, so what is not found here cannot violate a
        // unique index, which would abort the caller's transaction.
        let mut source = Source::Transaction(&mut *transaction);
        if let Some(first) = repeated::find(&mut source, &database.sql, &prepared.append).await? {
            return Ok(first);
        }
        // Ids assigned here may be rolled back, so they are not cached.
        let names = Names::new(database.epoch.clone());
        let now = database.now();
        let sent = batch::send(transaction, &database.sql, &names, &[prepared], now).await;
        let outcome = sent.map_err(|error| prepared.explain(store_error(error)))?;
        match outcome.verdicts.into_iter().next() {
            Some(Verdict::Stored(appended)) => Ok(appended),
            Some(Verdict::Conflict(conflict) | Verdict::Repeated(Some(conflict))) => {
                Err(conflict.into())
            }
            Some(Verdict::Repeated(None) | Verdict::OutOfDate) | None => {
                let message = "the database returned no outcome of the append";
                Err(StoreError::new(StoreErrorKind::Internal, message).into())
            }
        }
    }
}
