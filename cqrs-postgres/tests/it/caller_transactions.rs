//! Appending in a transaction of the caller.

use cluster::Database;
use cqrs_core::{
    EventStore, EventStoreExt, ExpectedVersion, Version,
    store::{Append, AppendError, StoreErrorKind},
    subscription::SubscriptionOptions,
};
use sqlx::{ConnectOptions, Connection};

use crate::{all, contents, event, one, store_in, stream};

#[tokio::test]
async fn a_rollback_leaves_no_trace_of_the_append() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut connection = database.options().connect().await.unwrap();
    store.append(one("a-1", "before")).await.unwrap();

    let mut transaction = connection.begin().await.unwrap();
    let appended = store.append_in(&mut transaction, one("a-1", "undone")).await.unwrap();
    assert_eq!((appended.version().get(), appended.position().get()), (2, 2));
    // Nothing of a stream that never existed may stay cached.
    store.append_in(&mut transaction, one("never-1", "undone")).await.unwrap();
    transaction.rollback().await.unwrap();

    assert_eq!(contents(&store).await, ["before"]);
    assert_eq!(store.stream_info(&stream("never-1")).await.unwrap(), None);
    let next = store.append(one("a-1", "after")).await.unwrap();
    assert_eq!((next.version().get(), next.position().get()), (2, 2));
    let fresh = Append::to(stream("never-1"), ExpectedVersion::NoStream, vec![event("first")]);
    assert_eq!(store.append(fresh).await.unwrap().version().get(), 1);
}

#[tokio::test]
async fn events_become_visible_with_the_commit_and_the_callers_rows() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut connection = database.options().connect().await.unwrap();
    sqlx::raw_sql("create table orders (id int)").execute(&mut connection).await.unwrap();
    let mut followed = store.subscribe(SubscriptionOptions::all()).await.unwrap();

    let mut transaction = connection.begin().await.unwrap();
    sqlx::raw_sql("insert into orders values (7)").execute(&mut *transaction).await.unwrap();
    let append = one("order-7", "placed").and_to(
        stream("stock-1"),
        ExpectedVersion::NoStream,
        vec![event("reserved")],
    );
    let appended = store.append_in(&mut transaction, append.clone()).await.unwrap();
    assert!(all(&store).await.is_empty(), "visible before the commit");
    transaction.commit().await.unwrap();

    assert_eq!(contents(&store).await, ["placed", "reserved"]);
    // Notified by the commit: this store did not write it, and the poll comes later.
    let first = followed.next().await.unwrap().unwrap();
    assert_eq!(first.stream.as_str(), "order-7");

    // Repeated: the first outcome, in a transaction as outside of one.
    let mut transaction = connection.begin().await.unwrap();
    let again = store.append_in(&mut transaction, append.clone()).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(again, appended.clone().again());
    assert_eq!(store.append(append).await.unwrap(), appended.again());
}

#[tokio::test]
async fn a_rejected_append_leaves_the_transaction_usable() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut connection = database.options().connect().await.unwrap();
    let taken = one("a-1", "one");
    store.append(taken.clone()).await.unwrap();

    let mut transaction = connection.begin().await.unwrap();
    let conflict = Append::to(stream("a-1"), ExpectedVersion::NoStream, vec![event("two")]);
    let rejected = store.append_in(&mut transaction, conflict).await.unwrap_err();
    assert!(matches!(rejected, AppendError::Conflict(c) if c.actual == Version::new(1)));
    let elsewhere = taken.streams[0].events.clone();
    let duplicate = Append::to(stream("b-1"), ExpectedVersion::Any, elsewhere);
    let rejected = store.append_in(&mut transaction, duplicate).await.unwrap_err();
    assert!(matches!(rejected, AppendError::DuplicateEvent { .. }));
    store.append_in(&mut transaction, one("a-1", "three")).await.unwrap();
    store.append_in(&mut transaction, one("a-1", "four")).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(contents(&store).await, ["one", "three", "four"]);
}

/// Above READ COMMITTED a transaction reads the log as it was before it acquired the lock.
#[tokio::test]
async fn a_transaction_above_read_committed_is_rejected() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut connection = database.options().connect().await.unwrap();
    for level in ["repeatable read", "serializable"] {
        let mut transaction = connection.begin().await.unwrap();
        let set = sqlx::AssertSqlSafe(format!("set transaction isolation level {level}"));
        sqlx::raw_sql(set).execute(&mut *transaction).await.unwrap();
        let rejected = store.append_in(&mut transaction, one("a-1", "late")).await.unwrap_err();
        let AppendError::Store(rejected) = rejected else { panic!("{rejected}") };
        assert_eq!(rejected.kind(), StoreErrorKind::Unsupported);
        transaction.rollback().await.unwrap();
    }
    // The function itself checks it too.
    let direct = "begin isolation level repeatable read;
        select cqrs.append_one(null, 'a-1', -1, gen_random_uuid(), 1, 1, null, null, '1', null, null, null, null)";
    let rejected = sqlx::raw_sql(direct).execute(&mut connection).await.unwrap_err();
    assert_eq!(rejected.as_database_error().unwrap().code().unwrap(), "CQ001");
}

/// The commit is durable even if the default of the session is not.
#[tokio::test]
async fn a_callers_commit_is_durable() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut connection = database.options().connect().await.unwrap();
    sqlx::raw_sql("set synchronous_commit = off").execute(&mut connection).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    store.append_in(&mut transaction, one("a-1", "kept")).await.unwrap();
    let set: String = sqlx::query_scalar("select current_setting('synchronous_commit')")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(set, "on");
    transaction.commit().await.unwrap();
}
