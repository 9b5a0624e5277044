//! The products and the quantity on hand.

use std::collections::BTreeMap;

use cqrs::{Projector, ReadModel, Recorded, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{Pg, PgReadStore, PgReadTransaction};
use rpds::RedBlackTreeMapSync;
use sqlx::Row;

use super::query::QueryError;
use crate::domain::{ProductEvent, Sku};

/// Returns the quantity on hand after an event. It is part of the event, so a row never depends on its
/// earlier content.
const fn on_hand(event: &ProductEvent) -> Option<(&Sku, u64)> {
    match event {
        ProductEvent::ProductQuantityIncreased { sku, on_hand_after, .. }
        | ProductEvent::ProductQuantityShipped { sku, on_hand_after, .. } => {
            Some((sku, *on_hand_after))
        }
        ProductEvent::NotifiedLowProductQuantity { .. } => None,
    }
}

/// The projector of the products.
#[derive(Clone, Copy, Debug, Default, ReadModel)]
#[read_model(name = "products", version = 1, event = ProductEvent)]
pub struct Products;

/// Quantities by product. A product appears with its first event.
#[derive(Clone, Debug, Default)]
pub struct ProductsModel(RedBlackTreeMapSync<Sku, u64>);

impl ProductsModel {
    /// Returns all products and the quantity on hand.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Sku, u64> {
        self.0.iter().map(|(sku, quantity)| (sku.clone(), *quantity)).collect()
    }
}

impl Projector<MemoryReadStore> for Products {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(ProductsModel::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<ProductEvent>,
    ) -> Result<(), ProjectError> {
        if let Some((sku, quantity)) = on_hand(&event.event) {
            tx.model::<ProductsModel>()?.0.insert_mut(sku.clone(), quantity);
        }
        Ok(())
    }
}

impl Projector<PgReadStore> for Products {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table products (
            sku text collate \"C\" primary key,
            quantity bigint not null,
            inserted_at timestamptz not null,
            updated_at timestamptz not null
        )";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<ProductEvent>,
    ) -> Result<(), ProjectError> {
        let Some((sku, quantity)) = on_hand(&event.event) else { return Ok(()) };
        // The times of events instead of the current time, so that a rebuild does not change them.
        let set = "insert into products values ($1, $2, $3, $3)
            on conflict (sku) do update
              set quantity = excluded.quantity, updated_at = excluded.updated_at";
        sqlx::query(set)
            .bind(sku.to_string())
            .bind(i64::try_from(quantity)?)
            .bind(Pg(event.recorded_at))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// Returns all products and the quantity on hand from Postgres.
///
/// # Errors
/// [`QueryError`].
pub async fn products_in(read: &PgReadStore) -> Result<BTreeMap<Sku, u64>, QueryError> {
    let mut tx = read.begin_read("products").await?;
    let rows = sqlx::query("select sku, quantity from products").fetch_all(&mut *tx).await?;
    let row = |row: sqlx::postgres::PgRow| -> Result<_, QueryError> {
        let sku: &str = row.try_get(0)?;
        let sku = sku.parse().map_err(|_| QueryError::UnexpectedValue { column: "sku" })?;
        let quantity = u64::try_from(row.try_get::<i64, _>(1)?);
        Ok((sku, quantity.map_err(|_| QueryError::UnexpectedValue { column: "quantity" })?))
    };
    rows.into_iter().map(row).collect()
}
