//! Rows that the cases write and read in any read store.

use std::collections::BTreeMap;

use cqrs_core::projection::{ProjectError, ReadStore};

/// How the cases write rows to a read store and read them. Implement it once for a backend, to run
/// [`read_store_conformance!`](crate::read_store_conformance); the module
/// [`read_conformance`](crate::read_conformance) has an example.
pub trait Tables: Send + Sync + 'static {
    /// The read store.
    type Store: ReadStore;

    /// Creates an empty table of [`Row`]s by key.
    ///
    /// # Errors
    /// Any error of the store.
    fn create(
        tx: &mut <Self::Store as ReadStore>::Transaction,
    ) -> impl Future<Output = Result<(), ProjectError>> + Send;

    /// Adds an amount to the row of a key with [`Row::add`]. A new row starts as
    /// [`Row::default`].
    ///
    /// # Errors
    /// Any error of the store.
    fn add(
        tx: &mut <Self::Store as ReadStore>::Transaction,
        key: &str,
        amount: i64,
        position: u64,
    ) -> impl Future<Output = Result<(), ProjectError>> + Send;

    /// Returns the rows that readers see, or `None` if the projector has no live generation.
    fn rows(
        store: &Self::Store,
        projector: &str,
    ) -> impl Future<Output = Option<BTreeMap<String, Row>>> + Send;
}

/// The row of a key.
///
/// ```
/// use cqrs_testing::Row;
///
/// let mut row = Row::default();
/// row.add(5, 1);
/// row.add(7, 2);
/// assert_eq!(row, Row { count: 2, sum: 12, last: 2, disorder: 0 });
/// // Event 2 is projected twice.
/// row.add(7, 2);
/// assert_eq!(row.disorder, 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The number of amounts that were added.
    pub count: i64,
    /// Their sum.
    pub sum: i64,
    /// The highest position of an amount.
    pub last: i64,
    /// The number of amounts whose position was not higher than all positions before.
    pub disorder: i64,
}

impl Row {
    /// Adds the amount of the event at a position.
    pub fn add(&mut self, amount: i64, position: u64) {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        self.count += 1;
        self.sum += amount;
        self.disorder += i64::from(self.last >= position);
        self.last = self.last.max(position);
    }
}
