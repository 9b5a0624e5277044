//! Futures that are dropped at any await point.
//!
//! These tests run in memory only, where the await points can be counted.

use std::sync::Arc;
use std::task::{Context, Poll, Wake};

use super::fresh::fresh;
use cqrs::{aggregate::*, app::*, event::*, store::*};

use super::cases::intercepted::Intercepted;
use super::cases::ledger::{Ledger, LedgerEvent, put, take};

/// Does nothing, because the tests poll by hand.
struct Ignore;
impl Wake for Ignore {
    fn wake(self: Arc<Self>) {}
}

/// Polls a future at most `times` times, then drops it.
fn poll_and_drop<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let waker = Arc::new(Ignore).into();
    let mut context = Context::from_waker(&waker);
    let mut future = Box::pin(future);
    (0..times).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Creates a store that yields before and after each append, for many await points.
async fn yielding() -> Intercepted {
    let yields = |_, _| -> futures_util::future::BoxFuture<'static, _> {
        Box::pin(async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    };
    Intercepted::new().await.before(yields).after(yields)
}

#[tokio::test]
async fn a_dispatch_dropped_at_random_is_stored_completely_or_not_at_all() {
    let seed: u64 = std::env::var("CQRS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(34);
    let mut random = seed;
    let mut finished = 0;
    for run in 0..1_000 {
        // A small generator spreads the drops; a failure prints the seed.
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let store = yielding().await;
        let app = App::new(store.clone());
        app.dispatch(put("a", 10)).await.unwrap();

        let many = app.dispatch(super::cases::ledger::change(
            "a",
            super::cases::ledger::What::TakeAll(vec![1, 2]),
        ));
        let many = many.command_id(CommandId::random());
        finished += usize::from(poll_and_drop(many, (random >> 33) as usize % 12).is_some());

        // The next command succeeds, and the log has both events of the dropped one or none.
        let after = app.dispatch(take("a", 1)).with_state().await.unwrap();
        let stream = StreamName::new("ledger-a").unwrap();
        let events = store.read_as::<LedgerEvent>(Read::stream(stream)).await.unwrap();
        let events = events.collect().await.unwrap();
        let events: Vec<_> = events.into_iter().map(|event| event.event).collect();
        let whole = [
            LedgerEvent::Put(10),
            LedgerEvent::Taken(1),
            LedgerEvent::Taken(2),
            LedgerEvent::Taken(1),
        ];
        let absent = [LedgerEvent::Put(10), LedgerEvent::Taken(1)];
        assert!(events == whole || events == absent, "seed {seed}, run {run}: {events:?}");
        assert_eq!(after.state, Some(Ledger::replay(&events)), "seed {seed}, run {run}");
    }
    assert!((1..1_000).contains(&finished), "{finished} of 1000 were not dropped");
}

#[tokio::test]
async fn a_dispatch_dropped_at_each_await_point_can_be_repeated() {
    // As above, at each await point in turn instead of at random.
    let mut polls = 0;
    loop {
        let store = yielding().await;
        let app = App::new(store.clone());
        let id = CommandId::random();
        let finished = poll_and_drop(app.dispatch(put("a", 5)).command_id(id), polls);
        let stored = store.head().await.unwrap() == Position::new(1);
        let outcome = app.dispatch(put("a", 5)).command_id(id).await.unwrap();
        assert_eq!(outcome.repeated, stored, "after {polls} polls");
        assert_eq!(app.load::<Ledger>(&"a".into()).await.unwrap().state().sum, 5);
        assert_eq!(store.head().await.unwrap(), Position::new(1));
        if finished.is_some() {
            assert!(polls > 6, "the store yields more often than {polls} times");
            return;
        }
        polls += 1;
    }
}

#[tokio::test]
async fn a_dropped_command_does_not_block_later_ones() {
    let store = fresh().await;
    let app = App::new(store);
    let mut stuck = Box::pin(app.dispatch(put("a", 1)));
    let waker = Arc::new(Ignore).into();
    let _ = stuck.as_mut().poll(&mut Context::from_waker(&waker));
    drop(stuck);
    app.dispatch(put("a", 1)).await.unwrap();
}
