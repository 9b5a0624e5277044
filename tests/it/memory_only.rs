//! Tests that need the memory store: with a paused clock, or a log that loses events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cqrs::{app::*, event::*, store::*, subscription::*};

use super::cases::conflicts::foreign;
use super::cases::following::{Shaky, fill, positions};
use super::cases::intercepted::Intercepted;
use super::cases::ledger::{Ledger, LedgerError, LedgerEvent, put, take};
use super::cases::repeated::lost;
use super::fresh::fresh;

#[tokio::test(start_paused = true)]
async fn a_permanent_conflict_fails_after_the_last_retry() {
    for (retries, tries) in [(5, 6), (0, 1), (2, 3)] {
        let store = Intercepted::new().await.before(|_, inner| {
            Box::pin(async move {
                foreign(&inner, "a", LedgerEvent::Put(1)).await;
                Ok(())
            })
        });
        let app = App::builder(store.clone()).retries(99).build().unwrap();
        let error = app.dispatch(put("a", 1)).retries(retries).await.unwrap_err();
        let DispatchError::TooManyAttempts { attempts, conflict, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((attempts, store.appends()), (tries, u64::from(tries)));
        assert_eq!(conflict.actual.get(), u64::from(tries));
    }
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_and_respect_the_deadline() {
    let store = Intercepted::new().await.before(|_, inner| {
        Box::pin(async move {
            foreign(&inner, "a", LedgerEvent::Put(1)).await;
            Ok(())
        })
    });
    let app = App::builder(store.clone()).retries(u32::MAX).build().unwrap();
    let started = tokio::time::Instant::now();
    let within = Duration::from_secs(3);
    let error = app.dispatch(put("a", 1)).deadline(within).await.unwrap_err();
    assert!(matches!(error, DispatchError::DeadlineExceeded { .. }), "{error}");
    assert_eq!(started.elapsed(), within);
    assert!(store.appends() < 200, "{} attempts in three seconds", store.appends());
}

#[tokio::test(start_paused = true)]
async fn transient_failures_and_lost_notifications_lose_no_event() {
    let inner = fresh().await;
    let failures = Arc::new(AtomicU32::new(4));
    let store = Shaky { inner, failures: failures.clone(), kind: StoreErrorKind::Unavailable };
    fill(&store, 50).await;
    let mut following = store.subscribe(SubscriptionOptions::all().page_size(10)).await.unwrap();
    assert_eq!(positions(&mut following, 50).await, (1..=50).collect::<Vec<_>>());
    assert_eq!(failures.load(Ordering::SeqCst), 0);

    // New events arrive within the poll interval although every notification is lost.
    let before = tokio::time::Instant::now();
    let ((), seen) =
        futures_util::future::join(fill(&store, 3), positions(&mut following, 3)).await;
    assert_eq!(seen, [51, 52, 53]);
    assert!(before.elapsed() <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_ends_the_subscription_with_an_error() {
    let kind = StoreErrorKind::Corrupt;
    let store = Shaky { inner: fresh().await, failures: Arc::new(AtomicU32::new(1)), kind };
    fill(&store, 2).await;
    let mut following = store.subscribe(SubscriptionOptions::all()).await.unwrap();
    assert_eq!(positions(&mut following, 2).await, [1, 2]);
    assert!(matches!(following.next().await, Some(Err(ReadError::Store(e))) if e.kind() == kind));
    assert!(following.next().await.is_none());
    assert!(following.next_page().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_append_with_an_unknown_outcome_is_repeated_with_the_same_events() {
    let store = Intercepted::new()
        .await
        .after(|nth, _| Box::pin(async move { if nth < 3 { Err(lost()) } else { Ok(()) } }));
    let app = App::new(store.clone());
    let outcome = app.dispatch(put("a", 10)).await.unwrap();
    assert_eq!((outcome.version, outcome.position), (Version::new(1), Position::new(1)));
    assert_eq!(outcome.events[0].event, LedgerEvent::Put(10));
    assert_eq!(store.inner.head().await.unwrap(), Position::new(1));
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(2));
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_not_stored_is_repeated() {
    let store = Intercepted::new()
        .await
        .before(|nth, _| Box::pin(async move { if nth < 2 { Err(lost()) } else { Ok(()) } }));
    let app = App::new(store.clone());
    assert!(!app.dispatch(put("a", 10)).await.unwrap().repeated);
    assert_eq!(store.inner.head().await.unwrap(), Position::new(1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_resolved_by_repeating_the_command_id() {
    for stored in [true, false] {
        // The first result is lost, and then the store is unavailable.
        let failure = move |nth: u64| match nth {
            0 => Err(lost()),
            1..=20 => Err(StoreError::new(StoreErrorKind::Unavailable, "down").into()),
            _ => Ok(()),
        };
        let store = if stored {
            // Only the first append is stored: later ones fail before they reach the store.
            Intercepted::new()
                .await
                .after(move |nth, _| {
                    Box::pin(async move { if nth == 0 { failure(0) } else { Ok(()) } })
                })
                .before(move |nth, _| {
                    Box::pin(async move { if nth == 0 { Ok(()) } else { failure(nth) } })
                })
        } else {
            Intercepted::new().await.before(move |nth, _| Box::pin(async move { failure(nth) }))
        };
        let app = App::builder(store.clone()).retries(20).build().unwrap();
        let id = CommandId::random();
        let error = app.dispatch(put("a", 10)).command_id(id).await.unwrap_err();
        assert!(
            matches!(error, DispatchError::OutcomeUnknown { command_id, .. } if command_id == id),
            "later failures must not hide the unknown outcome: {error}"
        );
        assert_eq!(error.retry(), Retry::AfterDelay);
        let outcome = app.dispatch(put("a", 10)).command_id(id).await.unwrap();
        assert_eq!(outcome.repeated, stored);
        assert_eq!(store.inner.head().await.unwrap(), Position::new(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_during_the_append_is_an_unknown_outcome() {
    let store = Intercepted::new().await.after(|nth, _| {
        Box::pin(async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    });
    let app = App::new(store.clone());
    let id = CommandId::random();
    let within = Duration::from_secs(5);
    let error = app.dispatch(put("a", 1)).command_id(id).deadline(within).await.unwrap_err();
    assert!(matches!(error, DispatchError::OutcomeUnknown { .. }), "{error}");
    let outcome = app.dispatch(put("a", 1)).command_id(id).deadline(within).await.unwrap();
    assert!(outcome.repeated);
    assert_eq!(store.inner.head().await.unwrap(), Position::new(1));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_append_reports_that_nothing_was_stored() {
    let store = Intercepted::new().await.before(|nth, _| {
        Box::pin(async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    });
    let app = App::new(store.clone());
    let stuck = tokio::spawn(app.dispatch(put("a", 1)));
    tokio::task::yield_now().await;
    // This command waits for the one that is stuck.
    let error = app.dispatch(put("a", 1)).deadline(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, DispatchError::DeadlineExceeded { .. }), "{error}");
    stuck.abort();
    assert!(stuck.await.unwrap_err().is_cancelled());
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(1));
}

#[tokio::test]
async fn a_stream_that_lost_events_is_loaded_again() {
    // As after a restore from a backup: the cache has events that the store does not have.
    for left in 0..3_u64 {
        let store = fresh().await;
        let app = App::new(store.clone());
        for _ in 0..3 {
            app.dispatch(put("a", 5)).await.unwrap();
        }
        store.reset();
        for _ in 0..left {
            foreign(&store, "a", LedgerEvent::Put(1)).await;
        }
        // The command is decided by the stored events and not by the cached state.
        let rejected = app.dispatch(take("a", 20)).await.unwrap_err();
        let left_over = LedgerError::NotEnough { wanted: 20, left: left.cast_signed() };
        assert_eq!(rejected.rejected(), Some(&left_over));
        let outcome = app.dispatch(put("a", 1)).with_state().await.unwrap();
        assert_eq!(outcome.version.get(), left + 1);
        assert_eq!(outcome.state, Some(Ledger { sum: left.cast_signed() + 1 }));
    }
}
