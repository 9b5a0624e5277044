//! The read side at work, and its queries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cqrs::{EventStore, OperatorError, Position, Projections, StartError, Waited};
use cqrs_memory::MemoryView;
use cqrs_postgres::PgReadStore;
use example_store::OpenReadStore;

use super::products::{Model, Products, ProductsInMemory, query};
use crate::domain::Sku;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The read model is being built for the first time.
    #[error("the read model is not there yet")]
    NotBuilt,
    /// The database did not answer.
    #[error("the read database did not answer")]
    Database(#[from] sqlx::Error),
    /// A column holds something that was never written.
    #[error("column `{column}` cannot be read")]
    Unreadable {
        /// Its name.
        column: &'static str,
    },
}

/// The warehouse's read model at work, in memory or in Postgres.
#[derive(Clone, Debug)]
pub struct ReadSide {
    projections: Projections,
    products: Rows,
}

/// Where the rows are.
#[derive(Clone, Debug)]
enum Rows {
    Memory(MemoryView<Model>),
    Postgres(PgReadStore),
}

impl ReadSide {
    /// Starts the projector. What is missing is built.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        events: Arc<dyn EventStore>,
        store: OpenReadStore,
    ) -> Result<Self, StartError> {
        Ok(match store {
            OpenReadStore::Memory(read) => {
                #[allow(clippy::expect_used)] // the name is a constant
                let products = Rows::Memory(read.view("products").expect("a name"));
                let builder = Projections::builder(events, read).projector(ProductsInMemory);
                Self { projections: builder.start().await?, products }
            }
            OpenReadStore::Postgres(read) => {
                let products = Rows::Postgres(read.clone());
                let builder = Projections::builder(events, read).projector(Products);
                Self { projections: builder.start().await?, products }
            }
        })
    }

    /// The projector, to ask for its health, to rebuild.
    #[must_use]
    pub const fn projections(&self) -> &Projections {
        &self.projections
    }

    /// Every product and what is on hand.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn products(&self) -> Result<BTreeMap<Sku, u64>, QueryError> {
        match &self.products {
            Rows::Memory(view) => Ok(view.get().ok_or(QueryError::NotBuilt)?.all()),
            Rows::Postgres(read) => query(read).await,
        }
    }

    /// Waits until the products know everything up to a position. Says whether they do.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn knows(&self, position: Position, within: Duration) -> Result<bool, OperatorError> {
        let built = self.projections.built("products", within).await?;
        let waited = self.projections.wait_for("products", position, within).await?;
        Ok(built && waited == Waited::CaughtUp)
    }
}
