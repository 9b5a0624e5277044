//! A pooler in transaction mode executes each transaction in another session. What a store prepares
//! in one does not exist in the next, so it has to report that when it connects.

use cluster::{Database, Pooler};
use cqrs_core::{
    EventStore,
    store::{Retry, StoreErrorKind},
};
use cqrs_postgres::PgStore;

use crate::{all, is, one, store_in};

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_reported_when_connecting() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let pooler = Pooler::start(&database.options()).unwrap();
    let rejected = PgStore::builder().options(pooler.options()).connect().await.unwrap_err();
    is(&rejected, StoreErrorKind::Unsupported, Retry::Never);
    assert!(rejected.to_string().contains("pooler"), "{rejected}");
    // A direct connection still works.
    store.append(one("a-1")).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
}
