//! Queries of read models that name no schema.

use cluster::Database;
use cqrs_core::{EventStore, Projections};
use cqrs_postgres::PgReadStore;
use cqrs_testing::eventually;
use sqlx::Row;

use crate::proxy::Proxy;
use crate::read_models::{Sum, WITHIN, catch_up, counted, total};
use crate::store_in;

const ALL: &str = "select count(*), sum(total)::bigint from sums";

#[tokio::test]
async fn a_query_reads_the_live_generation_and_cannot_write() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let read = PgReadStore::builder().options(database.options()).prefix("x_").migrate().await;
    let read = read.unwrap();
    let mut early = read.begin_read("sums").await.unwrap();
    let missing = sqlx::query(ALL).fetch_one(&mut *early).await.unwrap_err();
    assert_eq!(missing.as_database_error().unwrap().code().unwrap(), "42P01");
    drop(early);

    let projections = Projections::builder_over(store.clone(), read.clone()).projector(Sum::<1>);
    let projections = projections.start().await.unwrap();
    store.append(counted("a", 2)).await.unwrap();
    store.append(counted("a", 3)).await.unwrap();
    catch_up(&projections, &store).await;
    assert_eq!(total(&read, "a").await, 5);
    let mut tx = read.begin_read("sums").await.unwrap();
    let rejected = sqlx::query("delete from sums").execute(&mut *tx).await.unwrap_err();
    assert_eq!(rejected.as_database_error().unwrap().code().unwrap(), "25006");
    drop(tx);
    projections.stop().await;
}

/// Statements after the swap read the old or the new generation, and each reads all of its rows.
#[tokio::test]
async fn a_swap_during_a_query_transaction_does_not_break_it() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let read = PgReadStore::builder().options(database.options()).migrate().await.unwrap();
    for n in 0..50 {
        store.append(counted(&n.to_string(), 1)).await.unwrap();
    }
    let first = Projections::builder_over(store.clone(), read.clone()).projector(Sum::<1>);
    let first = first.start().await.unwrap();
    catch_up(&first, &store).await;
    first.stop().await;

    let mut tx = read.begin_read("sums").await.unwrap();
    let row = sqlx::query(ALL).fetch_one(&mut *tx).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (50, 50));
    let second = Projections::builder_over(store.clone(), read.clone()).projector(Sum::<2>);
    let second = second.start().await.unwrap();
    let swapped = eventually(WITHIN, || async {
        if total(&read, "0").await == 2 { Ok(()) } else { Err("not swapped yet") }
    });
    swapped.await;
    // The same statement, prepared before the swap, and another one.
    for text in [ALL, "select count(*), max(total) * 50 from sums"] {
        let row = sqlx::query(text).fetch_one(&mut *tx).await.unwrap();
        let (rows, sum): (i64, i64) = (row.get(0), row.get(1));
        assert!((rows, sum) == (50, 50) || (rows, sum) == (50, 100), "{text}: {rows}, {sum}");
    }
    drop(tx);
    let mut later = read.begin_read("sums").await.unwrap();
    let row = sqlx::query(ALL).fetch_one(&mut *later).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (50, 100));
    drop(later);
    second.stop().await;
}

#[tokio::test]
async fn a_query_transaction_begins_in_one_round_trip() {
    let database = Database::create().await;
    PgReadStore::builder().options(database.options()).migrate().await.unwrap();
    let proxy = Proxy::before(&database.options()).await;
    let builder = PgReadStore::builder().options(proxy.options()).max_connections(1);
    let read = builder.connect().await.unwrap();
    drop(read.begin_read("sums").await.unwrap());
    // The pool takes the connection back in the background, with further round trips.
    let settled = read.pool().begin().await.unwrap();
    settled.rollback().await.unwrap();
    eventually(WITHIN, || async {
        if read.pool().num_idle() == 1 { Ok(()) } else { Err("not returned yet") }
    })
    .await;
    let before = proxy.requests();
    let tx = read.begin_read("sums").await.unwrap();
    assert_eq!(proxy.requests() - before, 1);
    drop(tx);
}
