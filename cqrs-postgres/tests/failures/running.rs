//! Failure while it runs.

use std::time::Duration;

use cluster::Database;
use cqrs_core::{
    EventStore, EventStoreExt,
    store::{AppendError, Retry, StoreErrorKind},
    subscription::SubscriptionOptions,
};
use cqrs_postgres::PgStore;
use cqrs_testing::eventually;

use crate::{all, is, one, run, session, store_error, store_in};

#[tokio::test]
async fn a_statement_that_takes_too_long() {
    let database = Database::create().await;
    store_in(&database).await;
    let store = PgStore::builder()
        .options(database.options())
        .statement_timeout(Duration::from_millis(150))
        .connect()
        .await
        .unwrap();
    let mut holder = session(&database).await;
    let lock = "begin; select pg_advisory_xact_lock(hashtextextended('\"cqrs\".append', 0))";
    run(&mut holder, lock).await;
    let append = one("a-1");
    let refused = store_error(store.append(append.clone()).await.unwrap_err());
    is(&refused, StoreErrorKind::Timeout, Retry::AfterDelay);
    run(&mut holder, "rollback; begin; lock table cqrs.events in access exclusive mode").await;
    is(&store.head().await.unwrap_err(), StoreErrorKind::Timeout, Retry::AfterDelay);
    run(&mut holder, "rollback").await;
    store.append(append).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
}

/// The server's answer on a full disk, a full memory and at its limit of connections. The first
/// two are made by a trigger, for no test may fill a disk.
#[tokio::test]
async fn no_room_left() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut admin = session(&database).await;
    for code in ["53100", "53200"] {
        run(
            &mut admin,
            &format!(
                "create or replace function public.full() returns trigger language plpgsql as
                 $$ begin raise exception 'no room' using errcode = '{code}'; end $$;
                 create trigger full_disk before insert on cqrs.events execute function public.full()"
            ),
        )
        .await;
        let append = one("a-1");
        let refused = store_error(store.append(append.clone()).await.unwrap_err());
        is(&refused, StoreErrorKind::Full, Retry::AfterDelay);
        run(&mut admin, "drop trigger full_disk on cqrs.events").await;
        store.append(append).await.unwrap();
    }
    assert_eq!(all(&store).await.len(), 2);
}

#[tokio::test]
async fn too_many_connections() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut admin).await.unwrap();
    // A superuser is not counted, so this role is none.
    let role = format!("limited_{}", std::process::id());
    let grants = format!(
        "create role {role} login password 'r' connection limit 1;
         grant all on schema cqrs to {role}; grant all on all tables in schema cqrs to {role};
         grant all on all sequences in schema cqrs to {role}; grant connect on database {name} to {role}"
    );
    run(&mut admin, &grants).await;
    let options = database.options().username(&role).password("r");
    // One for appends; the next, for reads, is one too many.
    let limited = PgStore::builder().options(options).connect().await.unwrap();
    is(&limited.head().await.unwrap_err(), StoreErrorKind::Unavailable, Retry::AfterDelay);
    run(&mut admin, &format!("alter role {role} connection limit 5")).await;
    assert_eq!(limited.head().await.unwrap().get(), 1);
    limited.append(one("a-1")).await.unwrap();
    limited.close().await;
    run(&mut admin, &format!("drop owned by {role}; drop role {role}")).await;
}

/// Everybody waits for a caller's transaction, up to the bound, and nobody is forgotten.
#[tokio::test]
async fn back_pressure_when_the_queue_is_full() {
    let database = Database::create().await;
    store_in(&database).await;
    let store = PgStore::builder().options(database.options()).queue(4).connect().await.unwrap();
    store.append(one("a-0")).await.unwrap();
    let mut holder = session(&database).await;
    let lock = "begin; select pg_advisory_xact_lock(hashtextextended('\"cqrs\".append', 0))";
    run(&mut holder, lock).await;
    let appends: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(one(&format!("a-{n}"))).await })
        })
        .collect();
    let waiting = tokio::sync::Mutex::new(&mut holder);
    eventually(Duration::from_secs(10), || async {
        let query = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
        let count: i64 =
            sqlx::query_scalar(query).fetch_one(&mut **waiting.lock().await).await.unwrap();
        if count > 0 { Ok(()) } else { Err("nobody waits") }
    })
    .await;
    assert!(appends.iter().all(|append| !append.is_finished()));
    run(&mut holder, "rollback").await;
    for append in appends {
        append.await.unwrap().unwrap();
    }
    assert_eq!(all(&store).await.len(), 201);
}

/// b189, b190, b192, l46: listening and reading connections are cut; events come all the same,
/// also when nothing further is appended.
#[tokio::test]
async fn connections_of_a_follower_are_cut() {
    let database = Database::create().await;
    let (here, there) = (store_in(&database).await, store_in(&database).await);
    let mut events = here.subscribe(SubscriptionOptions::all()).await.unwrap();
    there.append(one("a-1")).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().position.get(), 1);
    let mut admin = session(&database).await;
    for round in 1..=5_u64 {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        run(&mut admin, cut).await;
        for n in 0..10 {
            let append = one(&format!("a-{n}"));
            // The writer's connection is cut too: what is unknown is asked again.
            while let Err(error) = there.append(append.clone()).await {
                assert!(matches!(error, AppendError::OutcomeUnknown(_)), "{error:?}");
            }
        }
        for n in 2..=11 {
            let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
            let event = next.expect("came").unwrap().unwrap();
            assert_eq!(event.position.get(), (round - 1) * 10 + n);
        }
    }
}

#[tokio::test]
async fn without_listening_events_are_found_by_polling() {
    let database = Database::create().await;
    let there = store_in(&database).await;
    let here =
        PgStore::builder().options(database.options()).listen(false).connect().await.unwrap();
    let subscribe = SubscriptionOptions::all().poll_interval(Duration::from_millis(50));
    let mut events = here.subscribe(subscribe).await.unwrap();
    for n in 1..=20 {
        there.append(one("a-1")).await.unwrap();
        assert_eq!(events.next().await.unwrap().unwrap().position.get(), n);
    }
}

/// A connection that was cut while nobody used it costs nobody certainty.
#[tokio::test]
async fn a_connection_that_died_at_rest_is_replaced_before_it_is_trusted() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    run(&mut admin, cut).await;
    // Not waiting for something: resting is what this is about.
    tokio::time::sleep(Duration::from_millis(600)).await;
    store.append(one("a-1")).await.unwrap();
    assert_eq!(all(&store).await.len(), 2);
}
