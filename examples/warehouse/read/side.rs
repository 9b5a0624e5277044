//! The read side at work, and its queries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cqrs::projection::{OperatorError, RebuildError};
use cqrs::{EventStore, Health, Position, Projections, StartError, Waited};
use cqrs_memory::{MemoryReadStore, MemoryView};
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
pub enum ReadSide {
    /// In memory.
    #[non_exhaustive]
    Memory {
        /// The projector.
        projections: Projections<MemoryReadStore>,
        #[doc(hidden)]
        products: MemoryProducts,
    },
    /// In Postgres.
    #[non_exhaustive]
    Postgres {
        /// The projector.
        projections: Projections<PgReadStore>,
    },
}

/// The products in memory.
#[derive(Clone, Debug)]
pub struct MemoryProducts(MemoryView<Model>);

/// The same call on either side.
macro_rules! either {
    ($self:expr, $projections:ident => $call:expr) => {
        match $self {
            ReadSide::Memory { projections: $projections, .. } => $call,
            ReadSide::Postgres { projections: $projections } => $call,
        }
    };
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
                let products = MemoryProducts(read.view("products").expect("a name"));
                let builder = Projections::builder(events, read).projector(ProductsInMemory);
                Self::Memory { projections: builder.start().await?, products }
            }
            OpenReadStore::Postgres(read) => {
                let builder = Projections::builder(events, read).projector(Products);
                Self::Postgres { projections: builder.start().await? }
            }
        })
    }

    /// Every product and what is on hand.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn products(&self) -> Result<BTreeMap<Sku, u64>, QueryError> {
        match self {
            Self::Memory { products, .. } => {
                Ok(products.0.get().ok_or(QueryError::NotBuilt)?.all())
            }
            Self::Postgres { projections } => query(projections.read_store()).await,
        }
    }

    /// Waits until the products know everything up to a position. Says whether they do.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn knows(&self, position: Position, within: Duration) -> Result<bool, OperatorError> {
        if !either!(self, projections => projections.built("products", within).await)? {
            return Ok(false);
        }
        let waited =
            either!(self, projections => projections.wait_for("products", position, within).await);
        Ok(waited? == Waited::CaughtUp)
    }

    /// How the read model is doing.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn health(&self) -> Result<Vec<Health>, OperatorError> {
        either!(self, projections => projections.health().await)
    }

    /// Builds the products anew beside those that are shown.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn rebuild(&self) -> Result<(), RebuildError> {
        either!(self, projections => projections.rebuild("products").await)
    }

    /// Stops the projector.
    pub async fn stop(&self) {
        either!(self, projections => projections.stop().await);
    }
}
