//! Shorthand for the cases.

use cqrs_core::{
    EventStoreExt, ExpectedVersion, StreamName, Version,
    event::{NewEvent, RecordedEvent},
    store::{Append, AppendError, Appended, Conflict, Page, Pages, Read},
};
use futures_util::TryStreamExt;

pub(super) use super::store::{Fresh, TestStore};
pub(super) use cqrs_core::ExpectedVersion::{Any, NoStream, StreamExists};

pub(super) const fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(Version::new(version))
}

pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// Returns events with the payloads 1 to `count` and new ids.
pub(super) fn events(count: u64) -> Vec<NewEvent> {
    (1..=count).map(|n| NewEvent::json("numbered", &n).unwrap()).collect()
}

pub(super) fn event(name: &str) -> NewEvent {
    NewEvent::json(name, &1).unwrap()
}

/// Appends new events to one stream.
pub(super) async fn append(
    store: &TestStore,
    name: &str,
    expected: ExpectedVersion,
    count: u64,
) -> Result<Appended, AppendError> {
    store.append(Append::to(stream(name), expected, events(count))).await
}

pub(super) async fn log(store: &TestStore) -> Vec<RecordedEvent> {
    store.read(Read::all()).await.unwrap().collect().await.unwrap()
}

pub(super) async fn read(store: &TestStore, name: &str) -> Vec<RecordedEvent> {
    store.read(Read::stream(stream(name))).await.unwrap().collect().await.unwrap()
}

pub(super) async fn pages<At>(pages: Pages<At>) -> Vec<Page<At>> {
    pages.try_collect().await.unwrap()
}

/// The events of all pages.
pub(super) async fn events_of<At>(read: Pages<At>) -> Vec<RecordedEvent> {
    pages(read).await.into_iter().flat_map(|page| page.events).collect()
}

pub(super) fn versions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.version.get()).collect()
}

pub(super) fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.get()).collect()
}

pub(super) fn conflict(result: Result<Appended, AppendError>) -> Conflict {
    match result {
        Err(AppendError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

/// Asserts what holds for every log: positions are dense from 1, versions are dense in each stream,
/// and the head is the last position.
pub(super) async fn assert_sound(store: &TestStore) -> Vec<RecordedEvent> {
    let log = log(store).await;
    let expected: Vec<u64> = (1..=log.len() as u64).collect();
    assert_eq!(positions(&log), expected, "positions are dense and in order");
    assert_eq!(store.head().await.unwrap().get(), log.len() as u64, "the head is the last event");
    let mut seen = std::collections::HashMap::new();
    for event in &log {
        let version = seen.entry(event.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.version.get(), *version, "versions of {} are dense", event.stream);
    }
    for (stream, version) in seen {
        assert_eq!(
            versions(&read(store, stream.as_str()).await),
            (1..=version).collect::<Vec<_>>()
        );
    }
    log
}
