//! A pooler in transaction mode hands each statement to another session. What this store prepares
//! in one is not there in the next, so it must say so, or work; never something in between.

use cluster::{Database, Pooler};
use cqrs_core::{
    EventStore,
    store::{Retry, StoreErrorKind},
};
use cqrs_postgres::PgStore;

use crate::{all, is, one, store_in};

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_noticed_at_the_start() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let pooler = Pooler::start(&database.options()).unwrap();
    let refused = PgStore::builder().options(pooler.options()).connect().await.unwrap_err();
    is(&refused, StoreErrorKind::Unsupported, Retry::Never);
    assert!(refused.to_string().contains("pooler"), "{refused}");
    // The way past it still works.
    store.append(one("a-1")).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
}
