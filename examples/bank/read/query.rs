//! What all queries share: their error, and the conversion of columns.

use crate::domain::Money;

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The read model is being built for the first time.
    #[error("the read model has not been built yet")]
    NotBuilt,
    /// The query failed in the database.
    #[error("the query failed in the read database")]
    Database(#[source] sqlx::Error),
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

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        // "Undefined table": there is no schema before the first generation is live.
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some("42P01") { Self::NotBuilt } else { Self::Database(error) }
    }
}

/// Returns an amount in cents: queries convert to and from `numeric(20,2)`, so that the driver needs no
/// type for decimals.
pub(super) fn cents(money: Money) -> i64 {
    money.to_cents()
}
