//! Generations of read models: building one beside the live one, and swapping them.

use std::sync::Arc;

use cqrs_core::projection::store::{ConsumerName, NewGeneration, Swap};
use cqrs_core::{
    Position,
    store::{StoreError, StoreErrorKind},
};
use sqlx::{AssertSqlSafe, Row};

use super::database::{Database, PgReadTransaction, execute};
use super::rows::single;
use crate::Pg;
use crate::database::arguments::arguments;
use crate::database::error::store_error;
use crate::database::numbers::{int, signed, unsigned};
use crate::database::pool;

/// Maximum lag, in positions, of a new generation for which the live one is frozen.
const MAX_LAG_TO_FREEZE: i64 = 1_000;

impl Database {
    pub(super) async fn new_generation(
        &self,
        consumer: &ConsumerName,
        version: u32,
        partitions: u32,
        after: Position,
    ) -> Result<Option<NewGeneration<PgReadTransaction>>, StoreError> {
        self.drop_old_schemas().await?;
        let mut tx = self.begin().await?;
        let given = arguments![consumer.as_str(), int(version), int(partitions), &*self.prefix];
        let rows = execute(&mut tx, &self.sql.new_generation, given).await?;
        let Some(number) = single::<Option<i64>>(&rows)? else { return Ok(None) };
        if after > Position::START {
            let given = arguments![number, Pg(after)];
            execute(&mut tx, &self.sql.start_after, given).await?;
        }
        Ok(Some(NewGeneration::new(unsigned(number), tx)))
    }

    pub(super) async fn commit_new(&self, mut tx: PgReadTransaction) -> Result<(), StoreError> {
        execute(&mut tx, &self.sql.count_tables, arguments![&*self.prefix]).await?;
        tx.commit().await.map_err(store_error)
    }

    pub(super) async fn swap(
        &self,
        consumer: &ConsumerName,
        generation: u64,
    ) -> Result<Swap, StoreError> {
        let prefix = &*self.prefix;
        let given = arguments![consumer.as_str(), signed(generation), prefix, MAX_LAG_TO_FREEZE];
        let rows = self.fetch(&self.sql.swap_generation, given).await?;
        match &*single::<String>(&rows)? {
            "done" => {
                self.drop_old_schemas().await?;
                Ok(Swap::Done)
            }
            "behind" => Ok(Swap::Behind),
            "foreign" => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the database already contains a schema `{prefix}{consumer}` that is not a \
                     read model; set a prefix with `PgReadStoreBuilder::prefix`"
                ),
            )),
            _ => Ok(Swap::Gone),
        }
    }

    pub(super) async fn cancel(&self, consumer: &ConsumerName) -> Result<bool, StoreError> {
        let given = arguments![consumer.as_str(), &*self.prefix];
        single(&self.fetch(&self.sql.cancel_generation, given).await?)
    }

    /// Drops the schemas of former generations, except those that a query still reads.
    async fn drop_old_schemas(&self) -> Result<(), StoreError> {
        for row in self.fetch(&self.sql.old_schemas, arguments![]).await? {
            let name: String = row.try_get(0).map_err(store_error)?;
            if let Err(error) = self.drop_old_schema(&name).await {
                tracing::info!(schema = name, %error, "drop of old schema postponed");
            }
        }
        Ok(())
    }

    async fn drop_old_schema(&self, name: &str) -> Result<(), StoreError> {
        // The drop would wait for a long query, and every new query would wait for the drop.
        let begin = format!("{}; set local lock_timeout = '100ms'", pool::BEGIN);
        let mut tx = self.begin_with(&begin).await?;
        let dropped = async {
            let drop = format!("drop schema if exists \"{}\" cascade", name.replace('"', ""));
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *tx).await?;
            let forget = AssertSqlSafe(Arc::clone(&self.sql.forget_old_schema));
            sqlx::query(forget).bind(name).execute(&mut *tx).await?;
            tx.commit().await
        };
        dropped.await.map_err(store_error)
    }

    /// Drops all read models and the records about them.
    pub(super) async fn drop_everything(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        execute(&mut tx, &self.sql.drop_read_models, arguments![]).await?;
        let drop = AssertSqlSafe(format!("drop schema \"{}\" cascade", self.schema));
        sqlx::query(drop).execute(&mut *tx).await.map_err(store_error)?;
        tx.commit().await.map_err(store_error)
    }
}
