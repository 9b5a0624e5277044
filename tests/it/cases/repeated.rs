//! Commands that are sent again with the same id.

use super::fresh::fresh;
use cqrs::{app::*, event::*, store::*};
use futures_util::future::join_all;

use super::intercepted::Intercepted;
use super::ledger::{Ledger, LedgerEvent, What, change, put, take};

pub fn lost() -> AppendError {
    AppendError::OutcomeUnknown(StoreError::new(StoreErrorKind::Unavailable, "connection lost"))
}

#[tokio::test]
async fn a_known_command_returns_its_first_outcome_without_a_decision() {
    let store = fresh().await;
    let id = CommandId::random();
    let app = App::new(store.clone());
    app.dispatch(put("a", 100)).await.unwrap();
    let first = app.dispatch(take("a", 80)).command_id(id).await.unwrap();
    assert!(!first.repeated);

    // The same application, and another one as after a restart. A sum of 20 would be too little to
    // take another 80.
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
async fn a_known_command_without_events_returns_its_first_outcome() {
    let store = fresh().await;
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
async fn the_same_id_for_another_command_is_an_error() {
    let store = fresh().await;
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
async fn a_rejected_command_can_be_sent_again_with_its_id() {
    let app = App::new(fresh().await);
    let id = CommandId::random();
    assert!(app.dispatch(take("a", 5)).command_id(id).await.unwrap_err().rejected().is_some());
    app.dispatch(put("a", 5)).await.unwrap();
    assert!(!app.dispatch(take("a", 5)).command_id(id).await.unwrap().repeated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_command_sent_concurrently_takes_effect_once() {
    for round in 0..50 {
        let store = fresh().await;
        let apps: Vec<_> = (0..4).map(|_| App::new(store.clone())).collect();
        apps[0].dispatch(put("a", 10)).await.unwrap();
        let id = CommandId::random();
        // Two per application; the applications do not share a cache.
        let tasks =
            (0..8).map(|n: usize| tokio::spawn(apps[n % 4].dispatch(take("a", 7)).command_id(id)));
        let outcomes: Vec<_> =
            join_all(tasks).await.into_iter().map(|o| o.unwrap().unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|o| !o.repeated).count(), 1, "round {round}");
        assert!(outcomes.iter().all(|o| o.events == outcomes[0].events));
        assert_eq!(store.head().await.unwrap(), Position::new(2));
    }
}

#[tokio::test]
async fn a_command_accepted_elsewhere_during_the_decision_is_recognized() {
    let id = CommandId::random();
    // After this application has looked up the command, another one accepts it. The remaining sum
    // would reject it.
    let store = Intercepted::new().await.after_lookup(move |_, inner| {
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
