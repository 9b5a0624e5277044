//! Importing events of another system.

use cluster::Database;
use cqrs_core::{EventStore, StreamName, Timestamp, event::NewEvent, store::AppendError};
use futures_util::stream::iter;

use crate::{all, contents, event, one, store_in, stream};

/// Events of several streams, interleaved, each with its own time.
fn history(events: usize) -> Vec<(StreamName, NewEvent)> {
    (0..events)
        .map(|n| {
            let at = Timestamp::from_micros(1_000_000 * n as i64);
            (stream(&format!("old-{}", n % 7)), event(&n.to_string()).with_recorded_at(at))
        })
        .collect()
}

#[tokio::test]
async fn an_import_keeps_order_and_times() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("old-3", "there before")).await.unwrap();
    let history = history(25_000);
    let imported = store.import(iter(history.clone())).await.unwrap();
    assert_eq!((imported.events, imported.repeated, imported.position.get()), (25_000, 0, 25_001));
    let log = all(&store).await;
    for (recorded, (stream, event)) in log[1..].iter().zip(&history) {
        assert_eq!((&recorded.stream, recorded.id), (stream, event.id));
        assert_eq!(Some(recorded.recorded_at), event.recorded_at);
        assert_eq!(recorded.event.payload, event.payload);
    }
    let last = log.iter().rfind(|event| event.stream.as_str() == "old-3").unwrap();
    assert_eq!(last.version.get(), 1 + 25_000 / 7);
    // Later appends continue after it.
    assert_eq!(store.append(one("old-3", "now")).await.unwrap().position().get(), 25_002);
}

#[tokio::test]
async fn a_repeated_import_continues_where_it_was_interrupted() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let history = history(25_000);
    // As far as the first transactions got, followed by another writer's event.
    store.import(iter(history[..20_000].to_vec())).await.unwrap();
    store.append(one("other-1", "between")).await.unwrap();
    let imported = store.import(iter(history.clone())).await.unwrap();
    assert_eq!((imported.events, imported.repeated), (5_000, 20_000));
    let again = store.import(iter(history)).await.unwrap();
    assert_eq!((again.events, again.repeated, again.position), (0, 25_000, imported.position));
    assert_eq!(all(&store).await.len(), 25_001);
}

#[tokio::test]
async fn an_import_ends_at_an_id_that_is_stored_elsewhere() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let mut history = history(10_010);
    let taken = one("taken-1", "taken");
    store.append(taken.clone()).await.unwrap();
    history[10_005].1.id = taken.streams[0].events[0].id;
    let failed = store.import(iter(history)).await.unwrap_err();
    assert_eq!(failed.imported.events, 10_000);
    assert!(
        matches!(failed.source, AppendError::DuplicateEvent { stream, .. } if stream.as_str() == "taken-1")
    );
    assert_eq!(contents(&store).await.len(), 10_001);
}

#[tokio::test]
async fn an_import_of_no_events_succeeds() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let imported = store.import(iter(Vec::new())).await.unwrap();
    assert_eq!((imported.events, imported.position.get()), (0, 0));
    assert_eq!(store.head().await.unwrap().get(), 0);
}
