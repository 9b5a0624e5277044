//! Subscriptions: from the past into the present without a seam, and through the store's trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cqrs::*;
use cqrs_memory::MemoryStore;
use cqrs_testing::ManualClock;
use futures_util::StreamExt;

use crate::ledger::{Ledger, LedgerEvent, put};

/// Fails some reads and loses every hint.
#[derive(Clone, Debug)]
struct Shaky {
    inner: MemoryStore,
    failures: Arc<AtomicU32>,
    kind: StoreErrorKind,
}

#[async_trait]
impl EventStore for Shaky {
    fn read_log(&self, read: LogRead) -> Pages<Position> {
        let failed = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let pages = self.inner.read_log(read);
        if failed.is_err() {
            return pages;
        }
        // One page comes through before the connection breaks.
        let broken = ReadError::Store(StoreError::new(self.kind, "connection reset"));
        pages.take(1).chain(futures_util::stream::iter([Err(broken)])).boxed()
    }
    async fn head_beyond(&self, _: Position) {
        std::future::pending().await
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.inner.append(append).await
    }
    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        self.inner.read_stream(read)
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.inner.head().await
    }
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.inner.stream_info(stream).await
    }
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.inner.list_streams(query).await
    }
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.inner.find_command(id).await
    }
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.inner.forget_commands(recorded_before).await
    }
}

async fn fill(store: &impl EventStore, count: u64) {
    let stream = StreamName::new("ledger-a").unwrap();
    for n in 0..count {
        let event = LedgerEvent::Put(n.cast_signed());
        store.append_events(&stream, ExpectedVersion::Any, &[event]).await.unwrap();
    }
}

async fn positions(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let events: Vec<_> = subscription.take(count).collect().await;
    events.into_iter().map(|event| event.unwrap().position.get()).collect()
}

#[tokio::test(start_paused = true)]
async fn g4_g5_trouble_and_lost_hints_cost_time_and_no_event() {
    let inner = MemoryStore::new();
    let failures = Arc::new(AtomicU32::new(4));
    let store = Shaky { inner, failures: failures.clone(), kind: StoreErrorKind::Unavailable };
    fill(&store, 50).await;
    let mut following = store.subscribe(Subscribe::all().page_size(10)).await.unwrap();
    assert_eq!(positions(&mut following, 50).await, (1..=50).collect::<Vec<_>>());
    assert_eq!(failures.load(Ordering::SeqCst), 0);

    // Live, with every hint lost: within the poll interval.
    let before = tokio::time::Instant::now();
    let ((), seen) =
        futures_util::future::join(fill(&store, 3), positions(&mut following, 3)).await;
    assert_eq!(seen, [51, 52, 53]);
    assert!(before.elapsed() <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn trouble_that_does_not_pass_ends_the_subscription_visibly() {
    let kind = StoreErrorKind::Corrupt;
    let store = Shaky { inner: MemoryStore::new(), failures: Arc::new(AtomicU32::new(1)), kind };
    fill(&store, 2).await;
    let mut following = store.subscribe(Subscribe::all()).await.unwrap();
    assert_eq!(positions(&mut following, 2).await, [1, 2]);
    assert!(matches!(following.next().await, Some(Err(ReadError::Store(e))) if e.kind() == kind));
    assert!(following.next().await.is_none());
    assert!(following.next_page().await.is_none());
}

#[tokio::test]
async fn l15_b119_b120_every_place_to_start_at() {
    let clock = ManualClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let start = clock.now();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(10));
        fill(&store, 1).await;
    }
    let from = async |start| {
        let subscribe = Subscribe::all().from(start);
        let mut following = store.subscribe(subscribe).await.unwrap();
        let page = following.next_page().await.unwrap().unwrap();
        page.into_iter().map(|event| event.position.get()).collect::<Vec<_>>()
    };
    assert_eq!(from(Start::Origin).await, [1, 2, 3, 4, 5]);
    assert_eq!(from(Start::After(Position::new(3))).await, [4, 5]);
    assert_eq!(from(Start::At(start.plus(Duration::from_secs(40)))).await, [4, 5]);
    assert_eq!(from(Start::At(start.plus(Duration::from_secs(41)))).await, [5]);

    let mut now = store.subscribe(Subscribe::all().from(Start::Now)).await.unwrap();
    fill(&store, 2).await;
    assert_eq!(positions(&mut now, 2).await, [6, 7]);
}

#[tokio::test]
async fn a_page_and_single_events_can_be_mixed() {
    let store = MemoryStore::new();
    fill(&store, 5).await;
    let mut following = store.subscribe(Subscribe::all().page_size(4)).await.unwrap();
    assert_eq!(positions(&mut following, 1).await, [1]);
    let rest = following.next_page().await.unwrap().unwrap();
    assert_eq!(rest.iter().map(|event| event.position.get()).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(positions(&mut following, 1).await, [5]);
}

#[tokio::test]
async fn an_application_hands_out_its_store_for_subscribing() {
    let app = App::new(MemoryStore::new());
    let of_ledgers = Subscribe::to(Filter::types(<Ledger as Aggregate>::Event::TYPES));
    let mut following = app.store().subscribe(of_ledgers).await.unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    let event = following.next().await.unwrap().unwrap();
    assert_eq!(event.decode::<LedgerEvent>().unwrap().event, LedgerEvent::Put(1));
}
