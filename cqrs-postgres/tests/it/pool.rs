//! One pool of the application for all stores.

use std::time::{Duration, Instant};

use cluster::Database;
use cqrs_core::projection::{InlineStore, Waited};
use cqrs_core::store::{Append, AppendError, Retry, StoreError, StoreErrorKind};
use cqrs_core::subscription::SubscriptionOptions;
use cqrs_core::{App, EventStore, EventStoreExt, ExpectedVersion, Processes, Projections};
use cqrs_postgres::{PgReadStore, PgStore};
use cqrs_testing::eventually;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::proxy::Proxy;
use crate::read_models::{Copies, Count, Sum, WITHIN, catch_up, counted, total};
use crate::{event, one, stream};

async fn pool(database: &Database, connections: u32) -> PgPool {
    let options = PgPoolOptions::new().max_connections(connections);
    options.connect_with(database.options()).await.unwrap()
}

#[tokio::test]
async fn a_pool_of_one_connection_serves_a_store_read_models_and_processes() {
    everything_works_with(1).await;
}

#[tokio::test]
async fn a_pool_of_two_connections_serves_a_store_read_models_and_processes() {
    everything_works_with(2).await;
}

async fn everything_works_with(connections: u32) {
    let database = Database::create().await;
    let pool = pool(&database, connections).await;
    let store = PgStore::builder().pool(pool.clone()).migrate().await.unwrap();
    let read = PgReadStore::builder().pool(pool.clone()).migrate().await.unwrap();
    let kept = PgReadStore::for_processes().pool(pool.clone()).migrate().await.unwrap();
    let app = App::new(store.clone());
    let projections = Projections::builder_over(store.clone(), read.clone()).projector(Sum::<1>);
    let projections = projections.start().await.unwrap();
    let processes = Processes::builder(&app, kept).process(Copies).start().await.unwrap();
    let mut followed = store.subscribe(SubscriptionOptions::all()).await.unwrap();

    for n in 0..10 {
        app.dispatch(Count { id: (n % 3).to_string(), by: 1 }).await.unwrap();
    }
    for _ in 0..20 {
        tokio::time::timeout(WITHIN, followed.next()).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(store.head().await.unwrap().get(), 20, "each count was copied once");
    catch_up(&projections, &store).await;
    assert_eq!((total(&read, "0").await, total(&read, "copies").await), (4, 100));
    let waited = processes.wait_for("copies", store.head().await.unwrap(), WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
    assert!(pool.size() <= connections);
    processes.stop().await;
    projections.stop().await;
}

/// The transaction holds the only connection while the append registers a new event type.
#[tokio::test]
async fn a_transaction_on_the_last_connection_of_the_pool_can_append() {
    let database = Database::create().await;
    let pool = pool(&database, 1).await;
    let store = PgStore::builder().pool(pool.clone()).migrate().await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let appended = tokio::time::timeout(WITHIN, store.append_in(&mut transaction, one("a-1", "x")));
    appended.await.expect("does not wait for itself").unwrap();
    let new_type = cqrs_core::event::NewEvent::json("test.another", &1).unwrap();
    let another = Append::to(stream("a-1"), ExpectedVersion::Any, vec![new_type]);
    store.append_in(&mut transaction, another).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(store.head().await.unwrap().get(), 2);
}

#[tokio::test]
async fn an_inline_projection_works_with_one_connection() {
    let database = Database::create().await;
    let pool = pool(&database, 1).await;
    let store = PgStore::builder().pool(pool.clone()).migrate().await.unwrap();
    let read = PgReadStore::builder().pool(pool).migrate().await.unwrap();
    let inline = InlineStore::builder(store, read.clone()).projector(Sum::<1>);
    let inline = inline.open().await.unwrap();
    assert!(inline.projections().wait_until_built("sums", WITHIN).await.unwrap());
    eventually(WITHIN, || async {
        // In the transaction of the append once the read model has caught up.
        inline.append(counted("a", 1)).await.map_err(|error| error.to_string())
    })
    .await;
    catch_up(inline.projections(), &inline).await;
    assert_eq!(total(&read, "a").await, 1);
}

#[tokio::test]
async fn an_exhausted_pool_fails_with_a_timeout_that_names_it() {
    let database = Database::create().await;
    let pool = pool(&database, 1).await;
    let limit = Duration::from_millis(200);
    let store = PgStore::builder().pool(pool.clone()).acquire_timeout(limit).migrate().await;
    let store = store.unwrap();
    let read = PgReadStore::builder().pool(pool.clone()).acquire_timeout(limit).migrate().await;
    let read = read.unwrap();
    store.append(one("a-1", "before")).await.unwrap();

    let held = pool.acquire().await.unwrap();
    let begun = Instant::now();
    is_exhausted(&store.head().await.unwrap_err());
    is_exhausted(&read.begin_read("sums").await.unwrap_err());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Appends have a connection of their own, and so has what they need of the pool.
    store.append(one("a-1", "meanwhile")).await.unwrap();
    let new_type = cqrs_core::event::NewEvent::json("test.another", &1).unwrap();
    let another = Append::to(stream("a-1"), ExpectedVersion::Any, vec![new_type]);
    store.append(another).await.unwrap();
    drop(held);
    assert_eq!(store.head().await.unwrap().get(), 3);
}

fn is_exhausted(error: &StoreError) {
    assert_eq!((error.kind(), error.retry()), (StoreErrorKind::Timeout, Retry::AfterDelay));
    let text = error.to_string();
    let names = ["pool", "cqrs_test_", "127.0.0.1", "1 of 1"];
    assert!(names.iter().all(|name| text.contains(name)) && !text.contains("cqrs:cqrs"), "{text}");
}

#[tokio::test]
async fn reads_that_wait_too_long_for_a_connection_fail_with_a_timeout() {
    let database = Database::create().await;
    let store = PgStore::builder()
        .options(database.options())
        .max_read_connections(1)
        .acquire_timeout(Duration::from_millis(100))
        .migrate()
        .await
        .unwrap();
    let mut holder = sqlx::ConnectOptions::connect(&database.options()).await.unwrap();
    let lock = "begin; lock table cqrs.events in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.head().await }
    });
    let admin = tokio::sync::Mutex::new(&mut holder);
    eventually(WITHIN, || async {
        let locks = "select count(*) from pg_locks where not granted";
        let count = sqlx::query_scalar(locks).fetch_one(&mut **admin.lock().await).await;
        if count.unwrap_or(0_i64) > 0 { Ok(()) } else { Err("the first read has not begun") }
    })
    .await;
    let failed = store.head().await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Timeout);
    assert!(failed.to_string().contains("max_read_connections"), "{failed}");
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().get(), 0);
}

/// Connections in the pool that died while they were idle cost the caller nothing.
#[tokio::test]
async fn dead_connections_of_a_shared_pool_are_replaced() {
    let database = Database::create().await;
    let options = PgPoolOptions::new().max_connections(5).test_before_acquire(false);
    let pool = options.connect_with(database.options()).await.unwrap();
    let store = PgStore::builder().pool(pool.clone()).listen(false).migrate().await.unwrap();
    let name = cqrs_core::subscription::SubscriptionName::new("s").unwrap();
    store.append(one("a-1", "before")).await.unwrap();
    for _ in 0..3 {
        let open: Vec<_> = futures_util::future::join_all((0..5).map(|_| pool.acquire())).await;
        drop(open);
        let mut admin = sqlx::ConnectOptions::connect(&database.options()).await.unwrap();
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid()";
        sqlx::raw_sql(cut).execute(&mut admin).await.unwrap();
        assert_eq!(store.head().await.unwrap().get(), 1);
        use cqrs_core::subscription::CheckpointStore;
        assert!(!store.delete_checkpoint(&name).await.unwrap());
    }
}

#[tokio::test]
async fn appends_through_a_shared_pool_are_one_round_trip() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.options()).await;
    let pool = PgPoolOptions::new().max_connections(2).connect_with(proxy.options()).await.unwrap();
    let store = PgStore::builder().pool(pool).listen(false).migrate().await.unwrap();
    let mut version = store.append(one("a-1", "first")).await.unwrap().version();
    // The pool returns the connection of the first look-up of the type in the background.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = proxy.requests();
    for n in 0..20 {
        let next = Append::to(stream("a-1"), version, vec![event(&n.to_string())]);
        version = store.append(next).await.unwrap().version();
    }
    assert_eq!(proxy.requests() - before, 20);
}

#[tokio::test]
async fn a_pool_with_another_isolation_level_is_rejected() {
    let database = Database::create().await;
    let options = database.options().options([("default_transaction_isolation", "serializable")]);
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let store = PgStore::builder().pool(pool.clone()).migrate().await.unwrap_err();
    let read = PgReadStore::builder().pool(pool).migrate().await.unwrap_err();
    for rejected in [store, read] {
        assert_eq!(rejected.kind(), StoreErrorKind::Unsupported);
        assert!(rejected.to_string().contains("read committed"), "{rejected}");
    }
}

#[tokio::test]
async fn closing_a_store_leaves_the_shared_pool_open() {
    let database = Database::create().await;
    let pool = pool(&database, 2).await;
    let store = PgStore::builder().pool(pool.clone()).migrate().await.unwrap();
    store.append(one("a-1", "kept")).await.unwrap();
    store.close().await;
    assert_eq!(store.head().await.unwrap_err().kind(), StoreErrorKind::Closed);
    let late = store.append(one("a-1", "late")).await.unwrap_err();
    assert!(matches!(late, AppendError::Store(error) if error.kind() == StoreErrorKind::Closed));
    let events: i64 =
        sqlx::query_scalar("select count(*) from cqrs.events").fetch_one(&pool).await.unwrap();
    assert_eq!(events, 1);
}
