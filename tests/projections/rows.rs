//! Rows of tests in both read stores.

use std::collections::BTreeMap;

use cqrs::projection::ProjectError;
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{PgReadStore, PgReadTransaction};
use cqrs_testing::{Row, Tables};
use sqlx::{AssertSqlSafe, Row as _};

/// Rows in memory.
pub struct MemoryTables;

#[derive(Clone, Default)]
struct Model(BTreeMap<String, Row>);

impl Tables for MemoryTables {
    type Store = MemoryReadStore;

    async fn create(tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn add(
        tx: &mut MemoryTransaction,
        key: &str,
        amount: i64,
        position: u64,
    ) -> Result<(), ProjectError> {
        tx.model::<Model>()?.0.entry(key.to_owned()).or_default().add(amount, position);
        Ok(())
    }

    async fn rows(store: &MemoryReadStore, projector: &str) -> Option<BTreeMap<String, Row>> {
        Some(store.view::<Model>(projector).unwrap().get()?.0.clone())
    }
}

/// Rows in Postgres.
pub struct PgTables;

impl Tables for PgTables {
    type Store = PgReadStore;

    async fn create(tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table tally (key text collate \"C\" primary key,
          count bigint not null, sum bigint not null, last bigint not null,
          disorder bigint not null)";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn add(
        tx: &mut PgReadTransaction,
        key: &str,
        amount: i64,
        position: u64,
    ) -> Result<(), ProjectError> {
        let add = "insert into tally values ($1, 1, $2, $3, 0) on conflict (key) do update set
          count = tally.count + 1,
          sum = tally.sum + $2,
          disorder = tally.disorder + (tally.last >= $3)::int,
          last = greatest(tally.last, $3)";
        let position = i64::try_from(position).unwrap();
        sqlx::query(add).bind(key).bind(amount).bind(position).execute(&mut **tx).await?;
        Ok(())
    }

    async fn rows(store: &PgReadStore, projector: &str) -> Option<BTreeMap<String, Row>> {
        let schema = store.schema_of(projector);
        let all = format!("select key, count, sum, last, disorder from {schema}.tally");
        let rows = match sqlx::query(AssertSqlSafe(all)).fetch_all(store.pool()).await {
            Ok(rows) => rows,
            // The schema does not exist.
            Err(error) if error.as_database_error()?.code()? == "42P01" => return None,
            Err(error) => panic!("{error}"),
        };
        let row = |row: sqlx::postgres::PgRow| {
            let (count, sum, last, disorder) = (row.get(1), row.get(2), row.get(3), row.get(4));
            (row.get(0), Row { count, sum, last, disorder })
        };
        Some(rows.into_iter().map(row).collect())
    }
}
