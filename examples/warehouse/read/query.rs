//! The error of all queries.

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The read model is being built for the first time.
    #[error("the read model has not been built yet")]
    NotBuilt,
    /// The query failed in the database.
    #[error("the query failed in the read database")]
    Database(#[from] sqlx::Error),
    /// There is no connection to the database.
    #[error("no connection to the read database")]
    Unavailable(#[from] cqrs::store::StoreError),
    /// A column contains a value that no projector writes.
    #[error("unexpected value in column `{column}`")]
    UnexpectedValue {
        /// The name of the column.
        column: &'static str,
    },
}
