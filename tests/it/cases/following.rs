//! Subscriptions: stored events, then new ones, even while the store fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::fresh::{Store, fresh, fresh_with};
use async_trait::async_trait;
use cqrs::{aggregate::*, app::*, event::*, store::*, subscription::*};
use cqrs_testing::ManualClock;
use futures_util::StreamExt;

use super::ledger::{Ledger, LedgerEvent, put};

/// A store that fails some reads and loses every notification.
#[derive(Clone, Debug)]
pub struct Shaky {
    pub inner: Store,
    pub failures: Arc<AtomicU32>,
    pub kind: StoreErrorKind,
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
        // The connection breaks after one page.
        let broken = ReadError::Store(StoreError::new(self.kind, "connection reset"));
        pages.take(1).chain(futures_util::stream::iter([Err(broken)])).boxed()
    }
    async fn wait_for_head_after(&self, _: Position) {
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

pub async fn fill(store: &impl EventStore, count: u64) {
    let stream = StreamName::new("ledger-a").unwrap();
    for n in 0..count {
        let event = LedgerEvent::Put(n.cast_signed());
        store.append_events(&stream, ExpectedVersion::Any, &[event]).await.unwrap();
    }
}

pub async fn positions(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let events: Vec<_> = subscription.take(count).collect().await;
    events.into_iter().map(|event| event.unwrap().position.get()).collect()
}

#[tokio::test]
async fn a_subscription_starts_at_the_requested_event() {
    let clock = ManualClock::new();
    let store = fresh_with(clock.clone()).await;
    let start = clock.now();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(10));
        fill(&store, 1).await;
    }
    let from = async |start| {
        let subscribe = SubscriptionOptions::all().from(start);
        let mut following = store.subscribe(subscribe).await.unwrap();
        let page = following.next_page().await.unwrap().unwrap();
        page.into_iter().map(|event| event.position.get()).collect::<Vec<_>>()
    };
    assert_eq!(from(Start::Origin).await, [1, 2, 3, 4, 5]);
    assert_eq!(from(Start::After(Position::new(3))).await, [4, 5]);
    assert_eq!(from(Start::At(start.plus(Duration::from_secs(40)))).await, [4, 5]);
    assert_eq!(from(Start::At(start.plus(Duration::from_secs(41)))).await, [5]);

    let mut now = store.subscribe(SubscriptionOptions::all().from(Start::Now)).await.unwrap();
    fill(&store, 2).await;
    assert_eq!(positions(&mut now, 2).await, [6, 7]);
}

#[tokio::test]
async fn pages_and_single_events_can_be_mixed() {
    let store = fresh().await;
    fill(&store, 5).await;
    let mut following = store.subscribe(SubscriptionOptions::all().page_size(4)).await.unwrap();
    assert_eq!(positions(&mut following, 1).await, [1]);
    let rest = following.next_page().await.unwrap().unwrap();
    assert_eq!(rest.iter().map(|event| event.position.get()).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(positions(&mut following, 1).await, [5]);
}

#[tokio::test]
async fn an_app_gives_access_to_subscriptions() {
    let app = App::new(fresh().await);
    let of_ledgers = SubscriptionOptions::to(Filter::types(<Ledger as Aggregate>::Event::TYPES));
    let mut following = app.store().subscribe(of_ledgers).await.unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    let event = following.next().await.unwrap().unwrap();
    assert_eq!(event.decode::<LedgerEvent>().unwrap().event, LedgerEvent::Put(1));
}
