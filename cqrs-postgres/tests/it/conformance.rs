//! The laws that every store keeps, in a database of its own for each case.

use cluster::Database;
use cqrs_postgres::PgStore;

/// Cases make stores and do not say when they are done with them.
async fn fresh() -> PgStore {
    let options = Database::create().await.keep();
    PgStore::builder().options(options).migrate().await.unwrap()
}

cqrs_testing::conformance! { store = fresh().await }
