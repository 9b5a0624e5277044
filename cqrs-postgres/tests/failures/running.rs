//! Failures while a store is running.

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
async fn a_statement_that_takes_too_long_is_cancelled() {
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
    let rejected = store_error(store.append(append.clone()).await.unwrap_err());
    is(&rejected, StoreErrorKind::Timeout, Retry::AfterDelay);
    run(&mut holder, "rollback; begin; lock table cqrs.events in access exclusive mode").await;
    is(&store.head().await.unwrap_err(), StoreErrorKind::Timeout, Retry::AfterDelay);
    run(&mut holder, "rollback").await;
    store.append(append).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
}

/// The errors of a full disk and of exhausted memory, which a trigger raises.
#[tokio::test]
async fn a_full_disk_is_reported() {
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
        let rejected = store_error(store.append(append.clone()).await.unwrap_err());
        is(&rejected, StoreErrorKind::Full, Retry::AfterDelay);
        run(&mut admin, "drop trigger full_disk on cqrs.events").await;
        store.append(append).await.unwrap();
    }
    assert_eq!(all(&store).await.len(), 2);
}

#[tokio::test]
async fn a_server_at_its_connection_limit_is_reported() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut admin).await.unwrap();
    // The limit does not apply to superusers, so this role is not one.
    let role = format!("limited_{}", std::process::id());
    let grants = format!(
        "create role {role} login password 'r' connection limit 1;
         grant all on schema cqrs to {role}; grant all on all tables in schema cqrs to {role};
         grant all on all sequences in schema cqrs to {role}; grant connect on database {name} to {role}"
    );
    run(&mut admin, &grants).await;
    let options = database.options().username(&role).password("r");
    // The connection for appends is within the limit, the one for reads is not.
    let limited = PgStore::builder().options(options).connect().await.unwrap();
    is(&limited.head().await.unwrap_err(), StoreErrorKind::Unavailable, Retry::AfterDelay);
    run(&mut admin, &format!("alter role {role} connection limit 5")).await;
    assert_eq!(limited.head().await.unwrap().get(), 1);
    limited.append(one("a-1")).await.unwrap();
    limited.close().await;
    run(&mut admin, &format!("drop owned by {role}; drop role {role}")).await;
}

/// Appends wait for a caller's transaction, those beyond the capacity of the queue in `append`.
#[tokio::test]
async fn appends_wait_while_the_queue_is_full() {
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
        if count > 0 { Ok(()) } else { Err("no transaction waits for the lock") }
    })
    .await;
    assert!(appends.iter().all(|append| !append.is_finished()));
    run(&mut holder, "rollback").await;
    for append in appends {
        append.await.unwrap().unwrap();
    }
    assert_eq!(all(&store).await.len(), 201);
}

/// The connections that listen and read are closed by the server. Events are delivered nevertheless,
/// even if no further event is appended.
#[tokio::test]
async fn a_follower_survives_the_loss_of_its_connections() {
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
            // The connection of the writer is closed too: an unknown outcome is repeated.
            while let Err(error) = there.append(append.clone()).await {
                assert!(matches!(error, AppendError::OutcomeUnknown(_)), "{error:?}");
            }
        }
        for n in 2..=11 {
            let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
            let event = next.expect("delivered in time").unwrap().unwrap();
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

/// A connection that was closed while it was idle leaves no outcome unknown.
#[tokio::test]
async fn a_connection_that_died_while_idle_is_replaced_before_an_append() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    run(&mut admin, cut).await;
    // Long enough for the connection to be pinged before its next use.
    tokio::time::sleep(Duration::from_millis(600)).await;
    store.append(one("a-1")).await.unwrap();
    assert_eq!(all(&store).await.len(), 2);
}
