//! Reads and durable subscriptions, interleaved with complete writes at every step.

use cluster::Database;
use cqrs_core::{
    EventStore, EventStoreExt, ExpectedVersion, Position, StreamName,
    event::NewEvent,
    store::{Append, LogRead, StreamRead},
    subscription::{CheckpointStore, DurableOptions, SubscriptionName, SubscriptionOptions},
};
use cqrs_postgres::PgStore;
use futures_util::StreamExt;
use sqlx::{ConnectOptions, Connection};

const EVENTS: u64 = 6;

async fn filled(database: &Database) -> PgStore {
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    for _ in 0..EVENTS {
        write(&store).await;
    }
    store
}

fn append() -> Append {
    let event = NewEvent::json("interleaving.happened", &()).unwrap();
    Append::to(StreamName::new("a-1").unwrap(), ExpectedVersion::Any, vec![event])
}

async fn write(store: &PgStore) {
    store.append(append()).await.unwrap();
}

/// Writes in every way, one after the other.
async fn write_all(store: &PgStore, database: &Database) {
    write(store).await;
    let several = append().and_to(
        StreamName::new("b-1").unwrap(),
        ExpectedVersion::Any,
        vec![NewEvent::json("interleaving.happened", &()).unwrap()],
    );
    store.append(several.clone()).await.unwrap();
    let mut connection = database.options().connect().await.unwrap();
    for commits in [true, false] {
        let mut transaction = connection.begin().await.unwrap();
        store.append_in(&mut transaction, append()).await.unwrap();
        match commits {
            true => transaction.commit().await.unwrap(),
            false => transaction.rollback().await.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_read_of_the_log_is_not_affected_by_writes_between_pages() {
    let database = Database::create().await;
    let store = filled(&database).await;
    for held_after in 0..=EVENTS {
        let head = store.head().await.unwrap();
        let mut pages = store.read_log(LogRead::forward().page_size(1));
        let mut seen = Vec::new();
        for _ in 0..held_after {
            seen.extend(pages.next().await.unwrap().unwrap().events);
        }
        write_all(&store, &database).await;
        while let Some(page) = pages.next().await {
            seen.extend(page.unwrap().events);
        }
        // A read ends at the head at the time its first page was read.
        let end = if held_after == 0 { store.head().await.unwrap() } else { head };
        let positions: Vec<u64> = seen.iter().map(|event| event.position.get()).collect();
        assert_eq!(positions, (1..=end.get()).collect::<Vec<_>>(), "held after {held_after}");
    }
}

#[tokio::test]
async fn a_read_of_a_stream_is_not_affected_by_writes_between_pages() {
    let database = Database::create().await;
    let store = filled(&database).await;
    for held_after in 1..=EVENTS {
        let stream = StreamName::new("a-1").unwrap();
        let version = store.stream_info(&stream).await.unwrap().unwrap().version;
        let mut pages = store.read_stream(StreamRead::forward(stream).page_size(1));
        let mut seen = Vec::new();
        for _ in 0..held_after {
            seen.extend(pages.next().await.unwrap().unwrap().events);
        }
        write_all(&store, &database).await;
        while let Some(page) = pages.next().await {
            seen.extend(page.unwrap().events);
        }
        let versions: Vec<u64> = seen.iter().map(|event| event.version.get()).collect();
        assert_eq!(versions, (1..=version.get()).collect::<Vec<_>>(), "held after {held_after}");
    }
}

/// Stops before the acknowledgement, after it, and after closing; with and without a crash there.
#[tokio::test]
async fn a_checkpoint_is_correct_wherever_the_subscription_stops() {
    let database = Database::create().await;
    let store = filled(&database).await;
    let name = SubscriptionName::new("held").unwrap();
    let open = || {
        let durable = DurableOptions::new(name.clone(), SubscriptionOptions::all());
        store.subscribe_durable(store.clone(), durable)
    };
    for step in ["delivered", "acknowledged", "closed"] {
        for crashes in [false, true] {
            let stored = store.find_checkpoint(&name).await.unwrap();
            let from = stored.map_or(Position::START, |stored| stored.position);
            let mut events = open();
            let first = events.next().await.unwrap();
            assert_eq!(first.position, from.next(), "{step}");
            let mut done = from;
            if step != "delivered" {
                events.acks().ack(first.position).await.unwrap();
                done = first.position;
            }
            if step == "closed" {
                events.close().await.unwrap();
                write_all(&store, &database).await;
            } else {
                write_all(&store, &database).await;
                if crashes {
                    // Neither saved nor released: the reset below ends the lease.
                    std::mem::forget(events);
                    store.reset_checkpoint(&name, done).await.unwrap();
                } else {
                    events.close().await.unwrap();
                }
            }
            let stored = store.find_checkpoint(&name).await.unwrap().unwrap();
            assert_eq!(stored.position, done, "{step}");
        }
    }
}
