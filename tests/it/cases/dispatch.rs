//! The outcome of a dispatch, and what it stores.

use super::fresh::fresh;
use cqrs::{app::*, event::*, store::*};

use super::ledger::{Change, Ledger, LedgerError, LedgerEvent, What, change, put, take};

async fn log(store: &impl EventStore) -> Vec<RecordedEvent> {
    store.read(Read::all()).await.unwrap().collect().await.unwrap()
}

#[tokio::test]
async fn events_are_stored_in_order_and_determine_the_state() {
    let store = fresh().await;
    let app = App::new(store.clone());
    app.dispatch(put("a", 10)).await.unwrap();
    let outcome = app.dispatch(change("a", What::TakeAll(vec![3, 4]))).await.unwrap();

    assert_eq!(outcome.version, Version::new(3));
    assert_eq!(outcome.position, Position::new(3));
    let events: Vec<_> = outcome.events.iter().map(|event| event.event.clone()).collect();
    assert_eq!(events, [LedgerEvent::Taken(3), LedgerEvent::Taken(4)]);

    // The outcome contains the events as they are stored.
    let stored = log(&store).await;
    for (returned, stored) in outcome.events.iter().zip(&stored[1..]) {
        assert_eq!(returned, &stored.decode::<LedgerEvent>().unwrap());
    }
    let ledger = app.load::<Ledger>(&"a".into()).await.unwrap();
    assert_eq!((ledger.version(), ledger.state().sum), (Version::new(3), 3));
}

#[tokio::test]
async fn a_decision_without_events_is_accepted_and_stores_nothing() {
    let store = fresh().await;
    let app = App::new(store.clone());
    app.dispatch(put("a", 1)).await.unwrap();
    let outcome = app.dispatch(change("a", What::Nothing)).await.unwrap();
    assert_eq!(outcome.version, Version::new(1));
    assert_eq!(outcome.position, Position::START);
    assert!(outcome.events.is_empty());
    assert_eq!(store.head().await.unwrap(), Position::new(1));

    let outcome = app.dispatch(change("new", What::Nothing)).await.unwrap();
    assert_eq!(outcome.version, Version::ZERO);
    assert_eq!(store.head().await.unwrap(), Position::new(1));
}

#[tokio::test]
async fn a_rejection_returns_the_domain_error_and_stores_nothing() {
    let store = fresh().await;
    let app = App::new(store.clone());
    app.dispatch(put("a", 100)).await.unwrap();
    let rejected = app.dispatch(take("a", 101)).await.unwrap_err();
    assert!(matches!(
        rejected,
        DispatchError::Rejected(LedgerError::NotEnough { wanted: 101, left: 100 })
    ));
    assert_eq!(rejected.retry(), Retry::Never);
    assert_eq!(store.head().await.unwrap(), Position::new(1));
    app.dispatch(take("a", 1)).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_execute_is_an_error_for_the_caller_only() {
    let store = fresh().await;
    let app = App::new(store.clone());
    app.dispatch(put("a", 1)).await.unwrap();
    let error = app.dispatch(change("a", What::Panic)).await.unwrap_err();
    assert!(
        matches!(&error, DispatchError::Panicked { message, .. } if message == "the rule broke")
    );
    assert_eq!(store.head().await.unwrap(), Position::new(1));
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(2));
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_is_stored_and_affects_one_aggregate() {
    let store = fresh().await;
    let app = App::new(store.clone());
    // The dispatch succeeds, because after an error the caller would send the command again.
    let outcome = app.dispatch(change("a", What::Poison)).with_state().await.unwrap();
    assert_eq!(outcome.version, Version::new(1));
    assert_eq!(outcome.state, None, "there is no state after it");
    let error = app.dispatch(put("a", 1)).await.unwrap_err();
    assert!(matches!(error, DispatchError::Panicked { .. }));
    assert!(matches!(app.load::<Ledger>(&"a".into()).await, Err(LoadError::Panicked { .. })));
    app.dispatch(put("b", 1)).await.unwrap();
    assert_eq!(store.head().await.unwrap(), Position::new(2));
}

#[tokio::test]
async fn events_that_cannot_be_encoded_store_nothing() {
    let store = fresh().await;
    let app = App::new(store.clone());
    let error = app.dispatch(change("a", What::Unstorable)).await.unwrap_err();
    assert!(matches!(error, DispatchError::Append { source: AppendError::Invalid(_), .. }));
    assert_eq!(store.head().await.unwrap(), Position::START);
    app.dispatch(put("a", 1)).await.unwrap();
}

#[tokio::test]
async fn every_event_carries_the_metadata() {
    let store = fresh().await;
    let app = App::new(store.clone());
    let id = CommandId::random();
    app.dispatch(put("a", 10)).await.unwrap();
    let metadata = Metadata::default().with_actor("alice").with_header("ip", "::1");
    let outcome = app
        .dispatch(change("a", What::TakeAll(vec![1, 2])))
        .command_id(id)
        .metadata(metadata)
        .await
        .unwrap();
    assert_eq!(outcome.command_id, id);
    for event in &log(&store).await[1..] {
        assert_eq!(event.metadata.command_id, Some(id));
        assert_eq!(event.metadata.causation_id, Some(id.into()));
        assert_eq!(event.metadata.correlation_id, Some(id.as_uuid().into()));
        assert_eq!(event.metadata.actor.as_deref(), Some("alice"));
        assert_eq!(event.metadata.headers["ip"], "::1");
    }
    // Generated ids differ from command to command.
    let first = &log(&store).await[0].metadata;
    assert!(first.command_id.is_some() && first.command_id != Some(id));
}

#[tokio::test]
async fn a_given_causation_and_correlation_id_are_kept() {
    let store = fresh().await;
    let app = App::new(store.clone());
    let root = app.dispatch(put("a", 10)).await.unwrap();
    let cause = root.events[0].id;
    let follow_up = app
        .dispatch(put("b", 10))
        .metadata(Metadata::default().with_causation_id(cause))
        .correlation_id(root.correlation_id().unwrap())
        .await
        .unwrap();
    assert_eq!(follow_up.events[0].metadata.causation_id, Some(cause.into()));
    assert_eq!(follow_up.correlation_id(), root.correlation_id());
    let filter = Filter::correlation(root.correlation_id().unwrap());
    let talk = store.read(Read::filter(filter)).await.unwrap().collect().await.unwrap();
    assert_eq!(talk.len(), 2);
}

#[tokio::test]
async fn the_outcome_contains_what_the_caller_asked_for() {
    let app = App::new(fresh().await);
    let outcome = app.dispatch(put("a", 10)).with_state().await.unwrap();
    assert_eq!(outcome.stream.as_str(), "ledger-a");
    assert_eq!(outcome.state, Some(Ledger { sum: 10 }));
    let outcome = app.dispatch(take("a", 4)).with_state().await.unwrap();
    assert_eq!(outcome.state, Some(Ledger { sum: 6 }));
    assert_eq!((outcome.version, outcome.position), (Version::new(2), Position::new(2)));
    let outcome = app.dispatch(change("a", What::Nothing)).with_state().await.unwrap();
    assert_eq!(outcome.state, Some(Ledger { sum: 6 }));
    assert!(app.dispatch(put("a", 10)).await.unwrap().state.is_none());
}

#[tokio::test]
async fn invalid_ids_are_reported_before_anything_runs() {
    let store = fresh().await;
    let app = App::new(store.clone());
    for id in ["", "a\0b", &"x".repeat(10_000)] {
        // `execute` would panic if it were called.
        let error = app.dispatch(change(id, What::Panic)).await.unwrap_err();
        assert!(matches!(error, DispatchError::InvalidId(_)), "{id:.20}: {error}");
        assert!(matches!(app.load::<Ledger>(&id.to_owned()).await, Err(LoadError::InvalidId(_))));
    }
    for id in ["x'; drop table events;--", "a%b", "🦀", "a-b", "a/../b"] {
        app.dispatch(put(id, 1)).await.unwrap();
        assert_eq!(app.load::<Ledger>(&id.to_owned()).await.unwrap().state().sum, 1);
    }
    assert_eq!(store.head().await.unwrap(), Position::new(5));
}

#[tokio::test]
async fn an_aggregate_longer_than_a_page_is_loaded_completely() {
    let store = fresh().await;
    let events: Vec<_> = (0..2_500).map(|_| LedgerEvent::Put(1)).collect();
    let stream = StreamName::new("ledger-a").unwrap();
    store.append_events(&stream, ExpectedVersion::NoStream, &events).await.unwrap();
    let app = App::new(store);
    let ledger = app.load::<Ledger>(&"a".into()).await.unwrap();
    assert_eq!((ledger.version().get(), ledger.state().sum), (2_500, 2_500));
    app.dispatch(take("a", 2_500)).await.unwrap();
}

#[tokio::test]
async fn a_deadline_that_passes_before_the_append_stores_nothing() {
    let store = fresh().await;
    let app = App::builder(store.clone()).deadline(std::time::Duration::ZERO).build().unwrap();
    let error = app.dispatch(put("a", 1)).await;
    if let Err(error) = error {
        assert!(matches!(error, DispatchError::DeadlineExceeded { .. }));
        assert_eq!(store.head().await.unwrap(), Position::START);
    }
    app.dispatch(put("b", 1)).no_deadline().await.unwrap();
}

#[tokio::test]
async fn a_dispatch_can_be_spawned_and_joined() {
    let app = App::new(fresh().await);
    let one = tokio::spawn(app.dispatch(put("a", 1)));
    let all = (0..3).map(|_| app.dispatch(put("a", 1)));
    let all = futures_util::future::join_all(all).await;
    assert!(all.into_iter().all(|outcome| outcome.is_ok()));
    one.await.unwrap().unwrap();
    assert_eq!(app.load::<Ledger>(&"a".into()).await.unwrap().state().sum, 4);
}

#[tokio::test]
async fn a_dispatch_implements_debug() {
    let app = App::new(fresh().await);
    let shown = format!("{:?}", app.dispatch(Change { ledger: "a".into(), what: What::Nothing }));
    assert!(shown.contains("ledger"), "{shown}");
}

#[test]
fn an_event_is_named_by_its_type_or_by_the_caller() {
    let typed = NewEvent::of(&LedgerEvent::Put(1)).unwrap();
    assert_eq!((typed.name.as_str(), typed.schema_version), ("ledger.put", 1));
    assert_eq!(NewEvent::json("noted", &1).unwrap().name.as_str(), "noted");
    assert!(matches!(NewEvent::json("", &1), Err(InvalidEvent::Name(_))));
    assert!(matches!(NewEvent::json("noted", "\0"), Err(InvalidEvent::Payload(_))));
}

#[tokio::test]
async fn one_id_in_two_categories_is_two_aggregates() {
    let app = App::builder(fresh().await)
        .upcasters(super::evolution::steps().build().unwrap())
        .build()
        .unwrap();
    app.dispatch(put("1", 10)).await.unwrap();
    let other = app.dispatch(super::evolution::pay(1, 10)).await.unwrap();
    assert_eq!((other.stream.as_str(), other.version), ("till-1", Version::new(1)));
}
