//! Appends that share a transaction.

use std::time::Duration;

use cluster::Database;
use cqrs_core::{
    CommandId, EventStore, ExpectedVersion, Version,
    event::Payload,
    store::{Append, AppendError, Appended, CommandKey},
};
use cqrs_postgres::PgStore;
use cqrs_testing::eventually;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Row};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::proxy::Proxy;
use crate::{all, event, one, store_in, stream};

/// Holds the lock of the log, so that appends made meanwhile share a transaction.
struct Held(PgConnection);

impl Held {
    async fn new(database: &Database) -> Self {
        let mut connection = database.options().connect().await.unwrap();
        let lock = "begin; select pg_advisory_xact_lock(hashtextextended('\"cqrs\".append', 0))";
        sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    /// Waits until a transaction waits for the lock.
    async fn wait_for_waiter(&mut self) {
        let query = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
        let waiting = Mutex::new(&mut self.0);
        eventually(Duration::from_secs(10), || async {
            let mut connection = waiting.lock().await;
            let row = sqlx::query(query).fetch_one(&mut **connection).await.unwrap();
            if row.get::<i64, _>(0) > 0 { Ok(()) } else { Err("no transaction waits for the lock") }
        })
        .await;
    }

    async fn release(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.0).await.unwrap();
    }
}

type Answer = JoinHandle<Result<Appended, AppendError>>;

fn start(store: &PgStore, append: Append) -> Answer {
    let store = store.clone();
    tokio::spawn(async move { store.append(append).await })
}

/// Starts an append that is sent alone and waits for the lock. Those that follow share a batch.
async fn block_writer(store: &PgStore, held: &mut Held) -> Answer {
    let first = start(store, one("first-1", "first"));
    held.wait_for_waiter().await;
    first
}

/// Starts appends one after another, so that they are queued in this order.
async fn queue(store: &PgStore, appends: Vec<Append>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for append in appends {
        answers.push(start(store, append));
        // On one thread: it runs until it waits for the outcome.
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
    answers
}

#[tokio::test]
async fn every_member_of_a_batch_has_its_own_outcome() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    for n in 0..6 {
        store.append(one(&format!("old-{n}"), "there")).await.unwrap();
    }
    let mut held = Held::new(&database).await;
    let first = block_writer(&store, &mut held).await;
    let expecting = |n: usize, version: u64, events: usize| {
        let events = (0..events).map(|_| event("batch")).collect();
        Append::to(stream(&format!("old-{n}")), Version::new(version), events)
    };
    let key =
        |n| CommandKey::new(CommandId::random(), &stream("old-5"), &Payload::encode(&n).unwrap());
    let known = key(1);
    let answers = queue(
        &store,
        vec![
            expecting(0, 7, 2),
            expecting(1, 1, 2),
            // Rejected completely, although the version of its first stream is as expected.
            expecting(2, 1, 3).and_to(stream("new-1"), Version::new(1), vec![event("batch")]),
            one("new-2", "batch").and_to(stream("new-3"), ExpectedVersion::NoStream, vec![]),
            expecting(3, 0, 1),
            expecting(4, 1, 1).with_command(known),
        ],
    )
    .await;
    held.release().await;
    first.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    for answer in answers {
        outcomes.push(answer.await.unwrap());
    }
    let conflict = |outcome: &Result<Appended, AppendError>| match outcome {
        Err(AppendError::Conflict(conflict)) => {
            (conflict.stream.as_str().to_owned(), conflict.actual.get())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict(&outcomes[0]), ("old-0".to_owned(), 1));
    assert_eq!(conflict(&outcomes[2]), ("new-1".to_owned(), 0));
    assert_eq!(conflict(&outcomes[4]), ("old-3".to_owned(), 1));
    let stored: Vec<&Appended> = [1, 3, 5].iter().map(|n| outcomes[*n].as_ref().unwrap()).collect();
    // One transaction: one time, and no gap where others were rejected.
    assert!(stored.iter().all(|appended| appended.recorded_at == stored[0].recorded_at));
    let positions: Vec<u64> = stored.iter().map(|appended| appended.position().get()).collect();
    assert_eq!(positions, [9, 10, 11]);
    let log = all(&store).await;
    assert!((1..).zip(&log).all(|(position, event)| event.position.get() == position));
    assert_eq!(log.len(), 11);
    let record = store.find_command(known.id).await.unwrap().unwrap();
    assert_eq!(record.appended, *stored[2]);
}

#[tokio::test]
async fn appends_to_one_stream_are_stored_in_the_order_of_their_calls() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut held = Held::new(&database).await;
    let first = block_writer(&store, &mut held).await;
    let appends = (0..20).map(|n| {
        let to = if n % 3 == 0 { "hot-1".to_owned() } else { format!("cold-{n}") };
        Append::to(stream("hot-2"), ExpectedVersion::Any, vec![event(&n.to_string())]).and_to(
            stream(&to),
            ExpectedVersion::Any,
            vec![event("other")],
        )
    });
    let answers = queue(&store, appends.collect()).await;
    held.release().await;
    first.await.unwrap().unwrap();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let log = all(&store).await;
    let hot = log.iter().filter(|event| event.stream.as_str() == "hot-2");
    let order: Vec<String> = hot.map(|event| event.event.payload.decode().unwrap()).collect();
    assert_eq!(order, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_append_whose_caller_was_dropped_does_not_affect_others() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut held = Held::new(&database).await;
    let first = block_writer(&store, &mut held).await;
    let appends = (0..10).map(|n| one(&format!("a-{n}"), "batch")).collect();
    let answers = queue(&store, appends).await;
    for (n, answer) in answers.iter().enumerate() {
        if n % 2 == 0 {
            answer.abort();
        }
    }
    held.release().await;
    first.await.unwrap().unwrap();
    for (n, answer) in answers.into_iter().enumerate() {
        match answer.await {
            Ok(answered) => assert!(answered.is_ok()),
            Err(gone) => assert!(gone.is_cancelled() && n % 2 == 0),
        }
    }
    let log = all(&store).await;
    assert!((1..).zip(&log).all(|(position, event)| event.position.get() == position));
    assert!(log.len() >= 6);
}

#[tokio::test]
async fn close_stores_accepted_appends_and_rejects_later_ones() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut held = Held::new(&database).await;
    let first = block_writer(&store, &mut held).await;
    let answers = queue(&store, (0..5).map(|n| one(&format!("a-{n}"), "kept")).collect()).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    // Appends are rejected as soon as the writer collects the next batch.
    held.release().await;
    first.await.unwrap().unwrap();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    closing.await.unwrap();
    let late = store.append(one("a-9", "late")).await.unwrap_err();
    assert!(
        matches!(late, AppendError::Store(e) if e.kind() == cqrs_core::store::StoreErrorKind::Closed)
    );
    let read = store.head().await.unwrap_err();
    assert_eq!(read.kind(), cqrs_core::store::StoreErrorKind::Closed);
    assert_eq!(all(&store_in(&database).await).await.len(), 6);
    store.close().await;
}

#[tokio::test]
async fn queued_appends_are_stored_after_the_store_is_dropped() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut held = Held::new(&database).await;
    let first = block_writer(&store, &mut held).await;
    let answers = queue(&store, (0..5).map(|n| one(&format!("a-{n}"), "kept")).collect()).await;
    drop(store);
    held.release().await;
    first.await.unwrap().unwrap();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_append_takes_one_round_trip() {
    let database = Database::create().await;
    store_in(&database).await;
    let proxy = Proxy::before(&database.options()).await;
    let store = PgStore::builder().options(proxy.options()).connect().await.unwrap();
    // The first prepares the statement and registers the event type.
    let mut version = store.append(one("a-1", "first")).await.unwrap().version();
    let before = proxy.requests();
    for n in 0..20 {
        let next = Append::to(stream("a-1"), version, vec![event(&n.to_string())]);
        version = store.append(next).await.unwrap().version();
    }
    assert_eq!(proxy.requests() - before, 20);
    // Ten events to two streams use the other statement.
    let many = |n: usize| {
        let events = |_| (0..n).map(|_| event("many")).collect();
        Append::to(stream("b-1"), ExpectedVersion::Any, events(())).and_to(
            stream("b-2"),
            ExpectedVersion::Any,
            events(()),
        )
    };
    store.append(many(5)).await.unwrap();
    let before = proxy.requests();
    for _ in 0..20 {
        store.append(many(5)).await.unwrap();
    }
    assert_eq!(proxy.requests() - before, 20);
}
