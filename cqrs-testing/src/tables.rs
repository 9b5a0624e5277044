//! Rows that a test can write and read in any read store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cqrs_core::projection::{ProjectError, ReadStore};

/// How a test writes rows to a read store and reads them back. Implement it once for a backend, on
/// a type of your own, to run [`read_store_conformance!`](crate::read_store_conformance).
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// The read store.
    type Store: ReadStore;

    /// Makes an empty table of [`Row`]s by key.
    ///
    /// # Errors
    /// What the store says.
    async fn create(tx: &mut <Self::Store as ReadStore>::Transaction) -> Result<(), ProjectError>;

    /// Adds an amount to the row of a key, which begins with nothing: see [`Row::add`].
    ///
    /// # Errors
    /// What the store says.
    async fn add(
        tx: &mut <Self::Store as ReadStore>::Transaction,
        key: &str,
        amount: i64,
        position: u64,
    ) -> Result<(), ProjectError>;

    /// What readers see of a projector; `None` when they see nothing yet.
    async fn rows(store: &Self::Store, projector: &str) -> Option<BTreeMap<String, Row>>;
}

/// What is known about a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// How many amounts were added.
    pub count: i64,
    /// Their sum.
    pub sum: i64,
    /// The highest position an amount came from.
    pub last: i64,
    /// How often an amount came from a position that was not higher than the highest before.
    pub disorder: i64,
}

impl Row {
    /// Adds an amount.
    pub fn add(&mut self, amount: i64, position: u64) {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        self.count += 1;
        self.sum += amount;
        self.disorder += i64::from(self.last >= position);
        self.last = self.last.max(position);
    }
}
