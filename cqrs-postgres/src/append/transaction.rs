//! Appending inside a transaction of the caller's.

use std::sync::Arc;

use cqrs_core::store::{Append, AppendError, Appended, StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Postgres, Row, Transaction};

use super::repeated::{self, Source};
use super::{Prepared, Verdict, batch};
use crate::PgStore;
use crate::error::store_error;
use crate::names::Names;

pub(crate) const LOCK: &str = "
select current_setting('transaction_isolation'),
       case current_setting('synchronous_commit')
         when 'off' then set_config('synchronous_commit', 'on', true) end,
       pg_advisory_xact_lock(hashtextextended('cqrs.append', 0))";

impl PgStore {
    /// Appends inside a transaction of the caller's, so that events and other tables change
    /// together. The laws are those of [`append`](cqrs_core::EventStore::append); the events are
    /// there when the transaction commits, and never were when it rolls back.
    ///
    /// # What it costs
    /// From this call until the end of the transaction **no other append of the whole store goes
    /// on**: positions are given in the order of commits. So do everything else first, append
    /// last, and commit at once. With one transaction in fifty pausing 300 ms before its commit,
    /// a store makes a seventh of its appends.
    ///
    /// # Errors
    /// As `append`. [`StoreErrorKind::Unsupported`] when the transaction runs above READ
    /// COMMITTED. After a [`AppendError::Store`] the transaction is of no use any more and must
    /// be rolled back; after the other errors it goes on.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the transaction undecided: roll it back.
    pub async fn append_in(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        append: Append,
    ) -> Result<Appended, AppendError> {
        let shared = &*self.shared;
        let prepared = Prepared::new(append, shared).await?;
        let lock = sqlx::query(AssertSqlSafe(Arc::clone(&shared.sql.lock_log)))
            .fetch_one(&mut **transaction)
            .await
            .map_err(store_error)?;
        let isolation: &str = lock.try_get(0).map_err(store_error)?;
        if !matches!(isolation, "read committed" | "read uncommitted") {
            let message = format!("appends need READ COMMITTED, the transaction is {isolation}");
            return Err(StoreError::new(StoreErrorKind::Unsupported, message).into());
        }
        // Under the lock nothing is added, so what is not found here will not collide: a
        // collision would break the caller's transaction.
        let mut source = Source::Transaction(&mut *transaction);
        if let Some(first) = repeated::find(&mut source, &shared.sql, &prepared.append).await? {
            return Ok(first);
        }
        // Numbers learnt here may be rolled back, so they are not remembered.
        let names = Names::new(shared.epoch.clone());
        let sent = batch::send(transaction, &shared.sql, &names, &[&prepared], shared.now()).await;
        let outcome = sent.map_err(|error| prepared.blame(store_error(error)))?;
        match outcome.verdicts.into_iter().next() {
            Some(Verdict::Stored(appended)) => Ok(appended),
            Some(Verdict::Conflict(conflict) | Verdict::Known(Some(conflict))) => {
                Err(conflict.into())
            }
            Some(Verdict::Known(None) | Verdict::Stale) | None => {
                Err(StoreError::new(StoreErrorKind::Internal, "the append has no outcome").into())
            }
        }
    }
}
