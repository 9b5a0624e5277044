//! The conformance suite, each case in its own database.

use cluster::Database;
use cqrs_postgres::PgStore;

/// The suite does not report when a case is finished with its store, so the database is kept.
async fn fresh() -> PgStore {
    let options = Database::create().await.keep();
    PgStore::builder().options(options).migrate().await.unwrap()
}

cqrs_testing::conformance! { store = fresh().await }
