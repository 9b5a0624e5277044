//! The read model of products with a pending notification.

use std::collections::BTreeMap;

use cqrs::{Projector, ReadModel, Recorded, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{PgReadStore, PgReadTransaction};
use rpds::RedBlackTreeMapSync;
use sqlx::Row;

use super::Item;
use crate::domain::{ProductEvent, Sku};
use crate::read::QueryError;

/// Lists the [`Item`] of each product.
#[derive(Clone, Copy, Debug, ReadModel)]
#[read_model(name = "to_do", version = 1, event = ProductEvent)]
pub struct ToDo {
    /// Stock is low at or below this number of pieces.
    pub threshold: u64,
}

/// The items of all products.
#[derive(Clone, Default)]
pub(crate) struct Model(RedBlackTreeMapSync<Sku, Item>);

impl Model {
    pub(crate) fn all(&self) -> BTreeMap<Sku, Item> {
        self.0.iter().map(|(sku, item)| (sku.clone(), *item)).collect()
    }
}

impl Projector<MemoryReadStore> for ToDo {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<ProductEvent>,
    ) -> Result<(), ProjectError> {
        let Model(items) = tx.model::<Model>()?;
        let item = items.get(event.event.sku()).copied().unwrap_or_default();
        items.insert_mut(event.event.sku().clone(), item.after(&event.event, self.threshold));
        Ok(())
    }
}

impl Projector<PgReadStore> for ToDo {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table items (
            sku text collate \"C\" primary key,
            status text not null,
            \"left\" bigint
        )";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<ProductEvent>,
    ) -> Result<(), ProjectError> {
        let sku = event.event.sku().to_string();
        let row = sqlx::query("select status, \"left\" from items where sku = $1").bind(&sku);
        let before = match row.fetch_optional(&mut **tx).await? {
            Some(row) => item(row.try_get(0)?, row.try_get(1)?)?,
            None => Item::default(),
        };
        let (status, left) = match before.after(&event.event, self.threshold) {
            Item::Nothing => ("nothing", None),
            Item::Open { left } => ("open", Some(i64::try_from(left)?)),
            Item::Notified => ("notified", None),
        };
        let set = "insert into items values ($1, $2, $3)
            on conflict (sku) do update set status = excluded.status, \"left\" = excluded.\"left\"";
        sqlx::query(set).bind(&sku).bind(status).bind(left).execute(&mut **tx).await?;
        Ok(())
    }
}

fn item(status: &str, left: Option<i64>) -> Result<Item, QueryError> {
    match (status, left) {
        ("nothing", None) => Ok(Item::Nothing),
        ("notified", None) => Ok(Item::Notified),
        ("open", Some(left)) => {
            let left = u64::try_from(left);
            Ok(Item::Open {
                left: left.map_err(|_| QueryError::UnexpectedValue { column: "left" })?,
            })
        }
        _ => Err(QueryError::UnexpectedValue { column: "status" }),
    }
}

/// Returns all items.
pub(crate) async fn query(read: &PgReadStore) -> Result<BTreeMap<Sku, Item>, QueryError> {
    let mut tx = read.begin_read("to_do").await?;
    let all = "select sku, status, \"left\" from items";
    let rows = sqlx::query(all).fetch_all(&mut *tx).await?;
    let row = |row: sqlx::postgres::PgRow| -> Result<_, QueryError> {
        let sku: &str = row.try_get(0)?;
        let sku = sku.parse().map_err(|_| QueryError::UnexpectedValue { column: "sku" })?;
        Ok((sku, item(row.try_get(1)?, row.try_get(2)?)?))
    };
    rows.into_iter().map(row).collect()
}
