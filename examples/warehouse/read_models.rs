//! All read models together: running projectors, and queries.

use std::collections::BTreeMap;
use std::time::Duration;

use cqrs::{
    App, Position, Projections,
    projection::{OperatorError, StartError, Waited},
};
use cqrs_memory::MemoryView;
use cqrs_postgres::PgReadStore;
use example_shared::OpenReadStore;

use crate::domain::Sku;
use crate::low_stock::{self, Item, ToDo};
use crate::read::{Products, ProductsModel, QueryError, products_in};

/// The running read models of the warehouse, in memory or in Postgres.
#[derive(Clone, Debug)]
pub struct ReadModels {
    projections: Projections,
    rows: Rows,
}

/// Where the rows are stored.
#[derive(Clone, Debug)]
enum Rows {
    Memory { products: MemoryView<ProductsModel>, to_do: MemoryView<low_stock::Model> },
    Postgres(PgReadStore),
}

impl ReadModels {
    /// Starts the projectors, which build the read models that do not exist yet. Stock is low at
    /// `threshold` pieces or fewer.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        app: &App,
        store: OpenReadStore,
        threshold: u64,
    ) -> Result<Self, StartError> {
        Ok(match store {
            OpenReadStore::Memory(read) => {
                #[allow(clippy::expect_used)] // the names are constants
                let rows = Rows::Memory {
                    products: read.view("products").expect("a name"),
                    to_do: read.view("to_do").expect("a name"),
                };
                let builder = Projections::builder(app, read)
                    .projector(Products)
                    .projector(ToDo { threshold });
                Self { projections: builder.start().await?, rows }
            }
            OpenReadStore::Postgres(read) => {
                let rows = Rows::Postgres(read.clone());
                let builder = Projections::builder(app, read)
                    .projector(Products)
                    .projector(ToDo { threshold });
                Self { projections: builder.start().await?, rows }
            }
        })
    }

    /// Returns the projections, for health and rebuilds.
    #[must_use]
    pub const fn projections(&self) -> &Projections {
        &self.projections
    }

    /// Returns all products and the quantity on hand.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn products(&self) -> Result<BTreeMap<Sku, u64>, QueryError> {
        match &self.rows {
            Rows::Memory { products, .. } => Ok(products.get().ok_or(QueryError::NotBuilt)?.all()),
            Rows::Postgres(read) => products_in(read).await,
        }
    }

    /// Returns the state of the low-stock notification of each product.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn to_do(&self) -> Result<BTreeMap<Sku, Item>, QueryError> {
        match &self.rows {
            Rows::Memory { to_do, .. } => Ok(to_do.get().ok_or(QueryError::NotBuilt)?.all()),
            Rows::Postgres(read) => low_stock::query(read).await,
        }
    }

    /// Waits until the read models contain everything up to a position. Returns `false` if that takes
    /// longer than `within`.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn wait_for(
        &self,
        position: Position,
        within: Duration,
    ) -> Result<bool, OperatorError> {
        let mut caught_up = true;
        for name in ["products", "to_do"] {
            caught_up &= self.projections.wait_until_built(name, within).await?;
            let waited = self.projections.wait_for(name, position, within).await?;
            caught_up &= waited == Waited::CaughtUp;
        }
        Ok(caught_up)
    }
}
