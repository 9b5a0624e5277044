//! Parked events.

use cqrs_core::projection::store::{Failure, ParkedEvent, PartitionLease};
use cqrs_core::{
    Timestamp,
    projection::{ConsumerName, ReadStore},
};

use super::fixtures::{LONG, alive, at, lease, live, name, node, partition, record};
use crate::tables::Tables;

fn event(position: u64, key: &str, error: Option<&str>) -> ParkedEvent {
    ParkedEvent {
        position: at(position),
        key: key.to_owned(),
        error: error.map(str::to_owned),
        attempts: u32::from(error.is_some()),
        parked_at: Timestamp::from_micros(1_700_000_000_123_456),
        retry_requested: false,
        discarded: None,
    }
}

/// Creates a live projector with these parked events.
async fn with_parked<T: Tables>(
    store: &T::Store,
    events: &[ParkedEvent],
) -> (ConsumerName, PartitionLease) {
    let (projector, me) = (name("accounts"), node());
    alive(store, me, LONG).await;
    let generation = live::<T>(store, &projector).await;
    let lease = lease(store, me, &partition(&projector, generation, 0)).await;
    let mut tx = store.begin(&lease).await.unwrap();
    for event in events {
        store.park(&mut tx, &lease, event).await.unwrap();
    }
    store.commit(tx, &lease, at(100)).await.unwrap();
    (projector, lease)
}

async fn parked<S: ReadStore>(store: &S, lease: &PartitionLease) -> Vec<ParkedEvent> {
    let partition = &lease.partition;
    store.parked(&partition.consumer, partition.generation, Some(partition.number)).await.unwrap()
}

pub(super) async fn an_event_is_parked_with_its_transaction<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let store = fresh().await;
    let events = [event(7, "b", None), event(3, "a", Some("it's \"bad\" 🦀")), event(5, "a", None)];
    let (projector, lease) = with_parked::<T>(&store, &events).await;
    let mut dropped = store.begin(&lease).await.unwrap();
    store.park(&mut dropped, &lease, &event(9, "c", None)).await.unwrap();
    store.unpark(&mut dropped, &lease, at(3)).await.unwrap();
    drop(dropped);
    let [seven, three, five] = events;
    assert_eq!(parked(&store, &lease).await, [three, five.clone(), seven.clone()]);
    let other = store.parked(&projector, lease.partition.generation, Some(1)).await.unwrap();
    assert!(other.is_empty());
    assert_eq!(record(&store, &projector).await.live().unwrap().partitions[0].parked, 3);

    let mut tx = store.begin(&lease).await.unwrap();
    store.unpark(&mut tx, &lease, at(3)).await.unwrap();
    store.commit(tx, &lease, at(100)).await.unwrap();
    assert_eq!(parked(&store, &lease).await, [five, seven]);
}

pub(super) async fn a_retry_is_requested_by_key<T: Tables>(fresh: &impl AsyncFn() -> T::Store) {
    let store = fresh().await;
    let events = [event(3, "a", Some("bad")), event(5, "a", None), event(7, "b", Some("bad"))];
    let (projector, lease) = with_parked::<T>(&store, &events).await;
    let requested = || async {
        let parked = parked(&store, &lease).await;
        let requested: Vec<u64> =
            parked.iter().filter(|e| e.retry_requested).map(|e| e.position.get()).collect();
        let seen = record(&store, &projector).await.live().unwrap().partitions[0].retry_requested;
        assert_eq!(seen, !requested.is_empty());
        requested
    };
    assert_eq!(requested().await, [0; 0]);
    assert_eq!(store.request_retry(&projector, Some("a")).await.unwrap(), 2);
    assert_eq!(requested().await, [3, 5]);
    assert_eq!(store.request_retry(&projector, None).await.unwrap(), 3);
    assert_eq!(store.request_retry(&projector, Some("x")).await.unwrap(), 0);
    let failure = Failure { position: at(3), error: "worse".into(), attempts: 2, stopped: false };
    store.retried(&lease, "a", Some(&failure)).await.unwrap();
    assert_eq!(requested().await, [7]);
    let first = parked(&store, &lease).await.remove(0);
    assert_eq!((first.error.as_deref(), first.attempts), (Some("worse"), 2));
    store.retried(&lease, "b", None).await.unwrap();
    assert_eq!(requested().await, [0; 0]);
}

pub(super) async fn a_discarded_event_stays_on_record<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let store = fresh().await;
    let events = [event(3, "a", Some("bad")), event(5, "a", None), event(7, "b", Some("bad"))];
    let (projector, lease) = with_parked::<T>(&store, &events).await;
    assert!(!store.discard(&projector, at(4), "not there").await.unwrap());
    assert!(store.discard(&projector, at(3), "it's void").await.unwrap());
    assert!(!store.discard(&projector, at(3), "twice").await.unwrap());
    let seen: Vec<_> = parked(&store, &lease)
        .await
        .into_iter()
        .map(|e| (e.position.get(), e.discarded, e.retry_requested))
        .collect();
    let reason = Some("it's void".to_owned());
    assert_eq!(seen, [(3, reason, true), (5, None, true), (7, None, false)]);
    assert_eq!(record(&store, &projector).await.live().unwrap().partitions[0].parked, 2);
}
