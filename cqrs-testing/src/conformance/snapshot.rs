//! Snapshots of aggregates.

use cqrs_core::{Timestamp, Version, event::Payload, store::Snapshot};

use super::fixtures::{Fresh, stream};

fn snapshot(name: &str, version: u64, tag: &str, state: &str) -> Snapshot {
    let taken_at: Timestamp = "2026-03-01T09:00:00.123456Z".parse().unwrap();
    let payload = Payload::from_json(format!("{{ \"state\":\"{state}\" }}")).unwrap();
    Snapshot::new(stream(name), Version::new(version), tag, payload, taken_at)
}

pub(super) async fn snapshots_are_saved_replaced_and_deleted(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let (a, b) = (stream("a-1"), stream("b-1"));
    assert_eq!(store.load_snapshot(&a).await.unwrap(), None);
    store.delete_snapshot(&a).await.unwrap();

    let first = snapshot("a-1", 10, "account 1", "🦀");
    let other = snapshot("b-1", 7, "'; --", "b");
    store.save_snapshot(first.clone()).await.unwrap();
    store.save_snapshot(other.clone()).await.unwrap();
    assert_eq!(store.load_snapshot(&a).await.unwrap(), Some(first));
    assert_eq!(store.load_snapshot(&b).await.unwrap(), Some(other.clone()));

    let second = snapshot("a-1", 21, "account 2", "later");
    store.save_snapshot(second.clone()).await.unwrap();
    assert_eq!(store.load_snapshot(&a).await.unwrap(), Some(second));

    store.delete_snapshot(&a).await.unwrap();
    assert_eq!(store.load_snapshot(&a).await.unwrap(), None);
    assert_eq!(store.load_snapshot(&b).await.unwrap(), Some(other));
}
