//! Commands that come again, and answers that get lost.

use std::time::Duration;

use cqrs::*;
use cqrs_memory::MemoryStore;
use futures_util::future::join_all;

use crate::hooked::Hooked;
use crate::ledger::{Ledger, LedgerEvent, What, change, put, take};

fn lost() -> AppendError {
    AppendError::OutcomeUnknown(StoreError::new(StoreErrorKind::Unavailable, "connection lost"))
}

#[tokio::test]
async fn l33_a_known_command_is_answered_before_it_is_decided() {
    let store = MemoryStore::new();
    let id = CommandId::random();
    let app = App::new(store.clone());
    app.dispatch(put("a", 100)).await.unwrap();
    let first = app.dispatch(take("a", 80)).command_id(id).await.unwrap();
    assert!(!first.repeated);

    // The same application, another one after a restart; 20 left would refuse another 80.
    for app in [app.clone(), App::new(store.clone())] {
        let again = app.dispatch(take("a", 80)).command_id(id).with_state().await.unwrap();
        assert!(again.repeated);
        assert_eq!(again.events, first.events);
        assert_eq!((again.version, again.position), (first.version, first.position));
        assert_eq!(again.metadata, first.metadata);
        assert_eq!(again.state, Some(Ledger { sum: 20 }));
    }
    assert_eq!(store.head().await.unwrap(), Position::new(2));
}

#[tokio::test]
async fn l33_also_when_it_had_nothing_to_do() {
    let store = MemoryStore::new();
    let app = App::new(store.clone());
    let id = CommandId::random();
    app.dispatch(put("a", 1)).await.unwrap();
    let first = app.dispatch(change("a", What::Nothing)).command_id(id).await.unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    let again = app.dispatch(change("a", What::Nothing)).command_id(id).await.unwrap();
    assert!(again.repeated && again.events.is_empty());
    assert_eq!(again.version, first.version);
}

#[tokio::test]
async fn g7_the_same_id_for_another_command_is_an_error() {
    let store = MemoryStore::new();
    let app = App::new(store.clone());
    let id = CommandId::random();
    app.dispatch(put("a", 1)).command_id(id).await.unwrap();
    for other in [put("a", 2), put("b", 1), change("a", What::Nothing)] {
        let error = app.dispatch(other).command_id(id).await.unwrap_err();
        assert!(matches!(error, DispatchError::CommandIdReused { command_id } if command_id == id));
    }
    assert_eq!(store.head().await.unwrap(), Position::new(1));
}

#[tokio::test]
async fn a_refused_command_may_be_asked_again_under_its_id() {
    let app = App::new(MemoryStore::new());
    let id = CommandId::random();
    assert!(app.dispatch(take("a", 5)).command_id(id).await.unwrap_err().refused().is_some());
    app.dispatch(put("a", 5)).await.unwrap();
    assert!(!app.dispatch(take("a", 5)).command_id(id).await.unwrap().repeated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b266_the_same_command_at_once_has_one_effect_and_one_answer() {
    for round in 0..50 {
        let store = MemoryStore::new();
        let apps: Vec<_> = (0..4).map(|_| App::new(store.clone())).collect();
        apps[0].dispatch(put("a", 10)).await.unwrap();
        let id = CommandId::random();
        // Two in each application, the applications not knowing each other.
        let tasks = (0..8).map(|n: usize| {
            tokio::spawn(apps[n % 4].dispatch(take("a", 7)).command_id(id).into_future())
        });
        let outcomes: Vec<_> =
            join_all(tasks).await.into_iter().map(|o| o.unwrap().unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|o| !o.repeated).count(), 1, "round {round}");
        assert!(outcomes.iter().all(|o| o.events == outcomes[0].events));
        assert_eq!(store.head().await.unwrap(), Position::new(2));
    }
}

#[tokio::test]
async fn b266_accepted_elsewhere_between_looking_up_and_deciding() {
    let id = CommandId::random();
    // Just after this application found nothing, another one accepts the same command; what is
    // left then would refuse it.
    let store = Hooked::new().after_lookup(move |_, inner| {
        Box::pin(async move {
            App::new(inner).dispatch(take("a", 7)).command_id(id).await.unwrap();
            Ok(())
        })
    });
    App::new(store.inner.clone()).dispatch(put("a", 10)).await.unwrap();
    let outcome = App::new(store.clone()).dispatch(take("a", 7)).command_id(id).await.unwrap();
    assert!(outcome.repeated);
    assert_eq!(outcome.events[0].event, LedgerEvent::Taken(7));
    assert_eq!(store.inner.head().await.unwrap(), Position::new(2));
}

#[tokio::test(start_paused = true)]
async fn l06_a_lost_answer_is_asked_for_again_with_the_same_events() {
    let store = Hooked::new()
        .after(|nth, _| Box::pin(async move { if nth < 3 { Err(lost()) } else { Ok(()) } }));
    let app = App::new(store.clone());
    let outcome = app.dispatch(put("a", 10)).await.unwrap();
    assert_eq!((outcome.version, outcome.position), (Version::new(1), Position::new(1)));
    assert_eq!(outcome.events[0].event, LedgerEvent::Put(10));
    assert_eq!(store.inner.head().await.unwrap(), Position::new(1));
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(2));
}

#[tokio::test(start_paused = true)]
async fn l06_a_lost_append_is_sent_again() {
    let store = Hooked::new()
        .before(|nth, _| Box::pin(async move { if nth < 2 { Err(lost()) } else { Ok(()) } }));
    let app = App::new(store.clone());
    assert!(!app.dispatch(put("a", 10)).await.unwrap().repeated);
    assert_eq!(store.inner.head().await.unwrap(), Position::new(1));
}

#[tokio::test(start_paused = true)]
async fn b265_an_unknown_outcome_is_named_and_the_same_id_settles_it() {
    for stored in [true, false] {
        // The answer is lost for good, and then the store is down.
        let trouble = move |nth: u64| match nth {
            0 => Err(lost()),
            1..=20 => Err(StoreError::new(StoreErrorKind::Unavailable, "down").into()),
            _ => Ok(()),
        };
        let store = if stored {
            // Only the first one is stored: later ones fail before they reach the store.
            Hooked::new()
                .after(move |nth, _| {
                    Box::pin(async move { if nth == 0 { trouble(0) } else { Ok(()) } })
                })
                .before(move |nth, _| {
                    Box::pin(async move { if nth == 0 { Ok(()) } else { trouble(nth) } })
                })
        } else {
            Hooked::new().before(move |nth, _| Box::pin(async move { trouble(nth) }))
        };
        let app = App::builder(store.clone()).retries(20).build().unwrap();
        let id = CommandId::random();
        let error = app.dispatch(put("a", 10)).command_id(id).await.unwrap_err();
        assert!(
            matches!(error, DispatchError::OutcomeUnknown { command_id, .. } if command_id == id),
            "after a lost answer no later failure says that nothing was stored: {error}"
        );
        assert_eq!(error.retry(), Retry::AfterDelay);
        let outcome = app.dispatch(put("a", 10)).command_id(id).await.unwrap();
        assert_eq!(outcome.repeated, stored);
        assert_eq!(store.inner.head().await.unwrap(), Position::new(1));
    }
}

#[tokio::test(start_paused = true)]
async fn b259_b265_a_deadline_during_the_append_is_an_unknown_outcome() {
    let store = Hooked::new().after(|nth, _| {
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
async fn b259_a_deadline_before_the_append_says_that_nothing_was_stored() {
    let store = Hooked::new().before(|nth, _| {
        Box::pin(async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    });
    let app = App::new(store.clone());
    let stuck = tokio::spawn(app.dispatch(put("a", 1)).into_future());
    tokio::task::yield_now().await;
    // Waits for its turn behind the stuck one.
    let error = app.dispatch(put("a", 1)).deadline(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, DispatchError::DeadlineExceeded), "{error}");
    stuck.abort();
    assert!(stuck.await.unwrap_err().is_cancelled());
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(1));
}
