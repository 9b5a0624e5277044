//! Lost responses and crashed servers.

use std::collections::HashMap;
use std::time::Duration;

use cluster::{Cluster, Database};
use cqrs_core::event::Uuid;
use cqrs_core::{
    EventStore, ExpectedVersion, StreamName,
    event::NewEvent,
    store::{Append, AppendError},
};
use cqrs_postgres::PgStore;
use cqrs_testing::eventually;

use crate::{all, one, run, session, store_in};

/// Blocks every commit that adds events, after the insert, until the test releases it.
const HOLD_COMMITS: &str = "
create function public.hold() returns trigger language plpgsql as $$ begin
  perform pg_advisory_xact_lock_shared(77);
  return null;
end $$;
create constraint trigger hold after insert on cqrs.events
  deferrable initially deferred for each row execute function public.hold()";

#[tokio::test]
async fn a_connection_lost_between_insert_and_commit_leaves_the_outcome_unknown() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    run(&mut admin, HOLD_COMMITS).await;
    let append = one("a-1").and_to(
        StreamName::new("b-1").unwrap(),
        ExpectedVersion::Any,
        vec![NewEvent::json("test.happened", &1).unwrap()],
    );
    run(&mut admin, "select pg_advisory_lock(77)").await;
    let appending = tokio::spawn({
        let (store, append) = (store.clone(), append.clone());
        async move { store.append(append).await }
    });
    let connection = tokio::sync::Mutex::new(&mut admin);
    eventually(Duration::from_secs(10), || async {
        let kill = "select count(pg_terminate_backend(pid)) from pg_locks
            where locktype = 'advisory' and objid = 77 and not granted";
        let killed: i64 =
            sqlx::query_scalar(kill).fetch_one(&mut **connection.lock().await).await.unwrap();
        if killed > 0 { Ok(()) } else { Err("not committing yet") }
    })
    .await;
    let unknown = appending.await.unwrap().unwrap_err();
    assert!(matches!(unknown, AppendError::OutcomeUnknown(_)), "{unknown:?}");
    run(&mut admin, "select pg_advisory_unlock(77)").await;
    assert_eq!(all(&store).await.len(), 1, "a part of the append is stored");
    let appended = store.append(append.clone()).await.unwrap();
    assert!(!appended.repeated);
    assert_eq!(store.append(append).await.unwrap(), appended.again());
    assert_eq!(all(&store).await.len(), 3);
}

/// The server crashes several times under load. Appends that were acknowledged are stored; those with
/// an unknown outcome are stored completely or not at all, and once when they are repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_load_loses_and_duplicates_nothing() {
    let cluster = Cluster::start().unwrap();
    let database = Database::on(&cluster.url()).await;
    let store = store_in(&database).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..16)
        .map(|n| {
            let (store, stop) = (store.clone(), std::sync::Arc::clone(&stop));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                let mut unknown = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let events =
                        (0..3).map(|k| NewEvent::json("test.happened", &k).unwrap()).collect();
                    let stream = StreamName::new(format!("a-{n}")).unwrap();
                    let append = Append::to(stream, ExpectedVersion::Any, events);
                    let appended = loop {
                        match store.append(append.clone()).await {
                            Ok(appended) => break appended,
                            Err(AppendError::OutcomeUnknown(_)) => unknown += 1,
                            Err(error) => {
                                assert_eq!(error.retry(), cqrs_core::store::Retry::AfterDelay)
                            }
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    };
                    acknowledged.push((append, appended));
                }
                (acknowledged, unknown)
            })
        })
        .collect();
    for _ in 0..3 {
        let before = all(&store).await.len();
        // Under load: something has been written since the last crash.
        eventually(Duration::from_secs(20), || async {
            match store.head().await {
                Ok(head) if head.get() as usize > before + 100 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        cluster.kill().unwrap();
        cluster.restart().unwrap();
        eventually(Duration::from_secs(20), || async {
            store.head().await.map(drop).map_err(|error| format!("{error:?}"))
        })
        .await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut unknown = 0;
    let mut acknowledged = Vec::new();
    for writer in writers {
        let (appends, unknowns) = writer.await.unwrap();
        acknowledged.extend(appends);
        unknown += unknowns;
    }
    let log = all(&store).await;
    assert!((1..).zip(&log).all(|(position, event)| event.position.get() == position));
    let places: HashMap<Uuid, u64> =
        log.iter().map(|event| (event.id.as_uuid(), event.position.get())).collect();
    assert_eq!(places.len(), log.len(), "an event is stored twice");
    assert_eq!(log.len(), acknowledged.len() * 3, "an event was stored that no caller knows of");
    for (append, appended) in &acknowledged {
        let last = append.events().last().unwrap().id.as_uuid();
        assert_eq!(places.get(&last), Some(&appended.position().get()));
    }
    println!("{} appends acknowledged, {unknown} outcomes unknown", acknowledged.len());
}

/// A new connection may lead to a database with another history. Ids that were read from the old one
/// must not be used, neither by later appends nor by those already queued.
#[tokio::test]
async fn ids_of_a_lost_database_are_discarded() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    for name in ["first-1", "second-1"] {
        store.append(one(name)).await.unwrap();
    }
    let other = Append::to(
        StreamName::new("first-1").unwrap(),
        ExpectedVersion::Any,
        vec![NewEvent::json("test.other", &1).unwrap()],
    );
    store.append(other).await.unwrap();
    all(&store).await;
    // One append is in flight, and one after it is prepared with the old ids.
    let mut holder = session(&database).await;
    let lock = "begin; select pg_advisory_xact_lock(hashtextextended('\"cqrs\".append', 0))";
    run(&mut holder, lock).await;
    let start = |stream: &'static str| {
        let store = store.clone();
        tokio::spawn(async move { store.append(one(stream)).await })
    };
    let sent = start("first-1");
    let connection = tokio::sync::Mutex::new(&mut holder);
    eventually(Duration::from_secs(10), || async {
        let query = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
        let count: i64 =
            sqlx::query_scalar(query).fetch_one(&mut **connection.lock().await).await.unwrap();
        if count > 0 { Ok(()) } else { Err("not sent") }
    })
    .await;
    let queued = start("second-1");
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }

    // Restored from elsewhere, with the ids in another order.
    let mut admin = session(&database).await;
    run(&mut admin, "drop schema cqrs cascade").await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
          and application_name = 'cqrs'";
    let migrated = PgStore::builder().options(database.options().application_name("new"));
    drop(migrated.clone().migrate().await.unwrap());
    run(&mut admin, "insert into cqrs.event_types (name) values ('test.other'), ('test.happened')")
        .await;
    run(&mut admin, cut).await;
    run(&mut holder, "rollback").await;

    let unknown = sent.await.unwrap().unwrap_err();
    assert!(matches!(unknown, AppendError::OutcomeUnknown(_)), "{unknown:?}");
    queued.await.unwrap().unwrap();
    let append = one("first-1");
    while let Err(error) = store.append(append.clone()).await {
        assert!(matches!(error, AppendError::OutcomeUnknown(_)), "{error:?}");
    }
    let fresh = migrated.connect().await.unwrap();
    let (seen, truth) = (all(&store).await, all(&fresh).await);
    assert_eq!(seen, truth);
    let names: Vec<_> = truth
        .iter()
        .map(|event| (event.stream.as_str(), event.event.name.as_str(), event.version.get()))
        .collect();
    assert_eq!(names, [("second-1", "test.happened", 1), ("first-1", "test.happened", 1)]);
}
