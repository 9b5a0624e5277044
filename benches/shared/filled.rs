//! Filled logs.

use cluster::Database;
use cqrs::StreamName;
use cqrs_postgres::PgStore;
use futures_util::stream::iter;

use super::samples::events;

/// Creates a log with `count` events, in streams of about a hundred.
pub(crate) async fn filled(count: usize) -> (Database, PgStore) {
    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let streams = (count / 100).max(1);
    for start in (0..count).step_by(100_000) {
        let piece = events(100_000.min(count - start));
        let piece = piece.into_iter().enumerate().map(|(n, event)| {
            (StreamName::of("account", &((start + n) % streams)).unwrap(), event)
        });
        store.import(iter(piece.collect::<Vec<_>>())).await.unwrap();
    }
    (database, store)
}
