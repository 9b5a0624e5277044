//! Snapshots save reads, and commands work without them.

use super::fresh::{BROKEN, Store, fresh};
use cqrs::{app::*, event::*, repository::*, store::*};
use cqrs_testing::eventually;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ledger::{Ledger, LedgerEvent, What, change, put, take};

const SOON: Duration = Duration::from_secs(10);

fn app(store: &Store, policy: SnapshotPolicy) -> App {
    App::builder(store.clone())
        .aggregate::<Ledger>(Persistence::events_with_snapshots(store.clone(), policy))
        .build()
        .unwrap()
}

fn stream() -> StreamName {
    StreamName::new("ledger-a").unwrap()
}

async fn snapshot_version(store: &Store) -> u64 {
    store.load_snapshot(&stream()).await.unwrap().map_or(0, |snapshot| snapshot.version.get())
}

/// Waits until the snapshot is at a version.
async fn snapshot_reaches(store: &Store, version: u64) {
    eventually(SOON, || async {
        let at = snapshot_version(store).await;
        (at == version).then_some(()).ok_or(format!("the snapshot is at {at}, not {version}"))
    })
    .await;
}

#[tokio::test]
async fn disabled_snapshots_are_neither_used_nor_written() {
    let store = fresh().await;
    let wrong = Payload::encode(&Ledger { sum: 999 }).unwrap();
    let foreign = Snapshot::new(stream(), Version::new(1), "1", wrong, Timestamp::UNIX_EPOCH);
    store.save_snapshot(foreign).await.unwrap();
    for app in [app(&store, SnapshotPolicy::every(0)), App::new(store.clone())] {
        app.dispatch(put("a", 1)).await.unwrap();
        let ledger = app.load::<Ledger>(&"a".into()).await.unwrap();
        assert!(ledger.state().sum < 999);
    }
    assert_eq!(snapshot_version(&store).await, 1);
}

#[tokio::test]
async fn a_snapshot_is_written_after_the_configured_number_of_events() {
    let store = fresh().await;
    let every_ten = || app(&store, SnapshotPolicy::every(10));
    let app = every_ten();
    for _ in 0..9 {
        app.dispatch(put("a", 1)).await.unwrap();
    }
    assert_eq!(snapshot_version(&store).await, 0);
    app.dispatch(put("a", 1)).await.unwrap();
    snapshot_reaches(&store, 10).await;
    app.dispatch(put("a", 1)).await.unwrap();
    assert_eq!(snapshot_version(&store).await, 10);
    // After a restart, the count continues from the last snapshot.
    let app = every_ten();
    app.dispatch(change("a", What::TakeAll(vec![1; 10]))).await.unwrap();
    snapshot_reaches(&store, 21).await;
}

#[tokio::test]
async fn a_command_with_many_events_can_make_a_snapshot_due() {
    let store = fresh().await;
    let app = app(&store, SnapshotPolicy::every(10));
    app.dispatch(put("a", 100)).await.unwrap();
    app.dispatch(change("a", What::TakeAll(vec![1; 10]))).await.unwrap();
    snapshot_reaches(&store, 11).await;
}

#[tokio::test]
async fn loading_from_a_snapshot_equals_a_full_replay_and_reads_less() {
    let store = fresh().await;
    let app = app(&store, SnapshotPolicy::every(100));
    for n in 1..=1_050_u64 {
        app.dispatch(put("a", 1)).await.unwrap();
        if n % 100 == 0 {
            snapshot_reaches(&store, n).await;
        }
    }
    let full = App::new(store.clone()).load::<Ledger>(&"a".into()).await.unwrap();
    assert_eq!((full.version().get(), full.state().sum), (1_050, 1_050));

    // The same stream, read through a store that counts the events it returns.
    let counting = super::intercepted::Intercepted::new().await;
    let events: Vec<_> = (0..1_050).map(|_| LedgerEvent::Put(1)).collect();
    counting.inner.append_events(&stream(), ExpectedVersion::Any, &events).await.unwrap();
    let payload = Payload::encode(&Ledger { sum: 1_000 }).unwrap();
    let snapshot =
        Snapshot::new(stream(), Version::new(1_000), "1", payload, Timestamp::UNIX_EPOCH);
    counting.inner.save_snapshot(snapshot).await.unwrap();
    let policy = SnapshotPolicy::every(100);
    let repository = EventSourced::<Ledger>::new(counting.clone())
        .with_snapshots(counting.inner.clone(), policy);
    let loaded = repository.load(stream()).await.unwrap();
    assert_eq!((loaded.version().get(), loaded.state().sum), (1_050, 1_050));
    assert!(counting.events_read() <= 100, "{} events read", counting.events_read());
}

#[tokio::test]
async fn an_incompatible_snapshot_is_ignored() {
    let good = Payload::encode(&Ledger { sum: 77 }).unwrap();
    for (what, version, tag, payload) in [
        ("another tag", 2, "0", good.clone()),
        ("broken", 2, "1", Payload::from_stored(BROKEN[0])),
        ("another shape", 2, "1", Payload::encode("text").unwrap()),
        ("ahead of its stream", 9, "1", good.clone()),
    ] {
        let store = fresh().await;
        let app = app(&store, SnapshotPolicy::every(50));
        for _ in 0..3 {
            app.dispatch(put("a", 1)).await.unwrap();
        }
        let at = Version::new(version);
        let bad = Snapshot::new(stream(), at, tag, payload, Timestamp::UNIX_EPOCH);
        store.save_snapshot(bad).await.unwrap();
        let ledger = app.load::<Ledger>(&"a".into()).await.unwrap();
        assert_eq!((ledger.version().get(), ledger.state().sum), (3, 3), "{what}");
    }
}

#[tokio::test]
async fn a_snapshot_of_a_missing_stream_is_ignored() {
    let store = fresh().await;
    let payload = Payload::encode(&Ledger { sum: 77 }).unwrap();
    let orphan = Snapshot::new(stream(), Version::new(5), "1", payload, Timestamp::UNIX_EPOCH);
    store.save_snapshot(orphan).await.unwrap();
    let app = app(&store, SnapshotPolicy::every(5));
    assert_eq!(app.load::<Ledger>(&"a".into()).await.unwrap().version(), Version::ZERO);
    assert!(app.dispatch(take("a", 1)).await.unwrap_err().rejected().is_some());
}

/// Counts the snapshots that are saved.
#[derive(Clone, Debug)]
struct Counting {
    inner: Store,
    saved: Arc<AtomicU64>,
}

#[async_trait::async_trait]
impl SnapshotStore for Counting {
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        self.inner.load_snapshot(stream).await
    }
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.saved.fetch_add(1, Ordering::SeqCst);
        self.inner.save_snapshot(snapshot).await
    }
    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError> {
        self.inner.delete_snapshot(stream).await
    }
}

#[tokio::test]
async fn no_snapshot_is_written_before_it_is_due() {
    let counting = Counting { inner: fresh().await, saved: Arc::default() };
    let policy = SnapshotPolicy::every(10);
    let app = App::builder(counting.inner.clone())
        .aggregate::<Ledger>(Persistence::events_with_snapshots(counting.clone(), policy))
        .build()
        .unwrap();
    for _ in 0..35 {
        app.dispatch(put("a", 1)).await.unwrap();
    }
    snapshot_reaches(&counting.inner, 30).await;
    assert_eq!(counting.saved.load(Ordering::SeqCst), 3);
}

/// Fails to load and never finishes saving.
#[derive(Debug)]
struct Stuck;

#[async_trait::async_trait]
impl SnapshotStore for Stuck {
    async fn load_snapshot(&self, _: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable, "down"))
    }
    async fn save_snapshot(&self, _: Snapshot) -> Result<(), StoreError> {
        std::future::pending().await
    }
    async fn delete_snapshot(&self, _: &StreamName) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failing_snapshot_store_neither_fails_nor_delays_commands() {
    let app = App::builder(fresh().await)
        .aggregate::<Ledger>(Persistence::events_with_snapshots(Stuck, SnapshotPolicy::every(1)))
        .cache(CachePolicy::off())
        .build()
        .unwrap();
    for n in 1..=20 {
        assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(n));
    }
}

#[test]
fn complex_states_can_be_decoded_from_a_snapshot() {
    use std::collections::BTreeMap;

    type Rich = (Timestamp, BTreeMap<i128, Option<Version>>, Vec<(CorrelationId, String)>, f64);
    let moment = "2026-02-28T23:59:59.999999Z".parse().unwrap();
    let map = BTreeMap::from([(i128::MIN, None), (7, Some(Version::new(u64::MAX)))]);
    let rich: Rich = (moment, map, vec![(CorrelationId::random(), "🦀".into())], 0.1 + 0.2);
    assert_eq!(Payload::encode(&rich).unwrap().decode::<Rich>().unwrap(), rich);
}

#[tokio::test]
async fn a_panic_while_encoding_a_snapshot_fails_no_command() {
    let store = fresh().await;
    let app = app(&store, SnapshotPolicy::every(1));
    assert_eq!(app.dispatch(put("a", 666)).await.unwrap().version, Version::new(1));
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(2));
    snapshot_reaches(&store, 2).await;
}
