//! A failing projector stops or parks events, and affects nothing else.

use std::sync::Arc;
use std::time::Duration;

use cqrs::projection::{Health, Projections};
use cqrs::{
    EventStore, ExpectedVersion, Position, StreamName,
    event::{NewEvent, Payload},
    projection::{ConsumerState, FailureAction, FailurePolicy, ProjectorOptions},
    store::Append,
};
use cqrs_testing::eventually;

use super::fresh::{BROKEN, Read};
use super::{Tally, WITHIN, caught_up, projections, quick, rows, total};
use crate::tally::{Knobs, Second, Third, account, add, add_many};

async fn health(running: &Projections, name: &str) -> Health {
    let all = running.health().await.unwrap();
    all.into_iter().find(|health| health.name.as_str() == name).unwrap()
}

async fn until(running: &Projections, name: &str, state: ConsumerState) -> Health {
    eventually(WITHIN, || async {
        let health = health(running, name).await;
        if health.state == state { Ok(health) } else { Err(format!("{health:#?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_projector_stops_alone_and_is_resumed() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    knobs.fail(12);
    let running = projections(&store, &read)
        .projector(<Tally>::new())
        .projector_with(Tally::<Second>::with(&knobs), quick(FailurePolicy::stop()))
        .projector(Tally::<Third>::new());
    let running = running.start().await.unwrap();
    assert!(running.wait_until_built("second", WITHIN).await.unwrap());
    let last = add_many(&store, 50, 5).await;
    for name in ["accounts", "third"] {
        caught_up(&running, name, last).await;
        assert_eq!(total(&read, name).await, (50, 50));
    }
    let stopped = until(&running, "second", ConsumerState::Stopped).await;
    let failure = stopped.failure.unwrap();
    assert_eq!((failure.position, failure.attempts, failure.stopped), (Position::new(12), 3, true));
    assert!(failure.error.contains("position 12 fails"), "{}", failure.error);
    assert_eq!((stopped.position, stopped.lag), (Position::new(11), 39));
    assert_eq!(total(&read, "second").await.0, 11);

    // Other projectors and appends continue.
    let last = add(&store, 1, 1).await;
    caught_up(&running, "third", last).await;
    knobs.repair();
    running.resume("second").await.unwrap();
    caught_up(&running, "second", last).await;
    assert_eq!(total(&read, "second").await, (51, 51));
    assert_eq!(until(&running, "second", ConsumerState::Live).await.failure, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_projector_is_resumed_after_a_restart() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    knobs.fail(3);
    let first = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), quick(FailurePolicy::stop()))
        .start()
        .await
        .unwrap();
    assert!(first.wait_until_built("accounts", WITHIN).await.unwrap());
    let last = add_many(&store, 5, 1).await;
    until(&first, "accounts", ConsumerState::Stopped).await;
    first.stop().await;
    let second = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    caught_up(&second, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failure() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    knobs.panic(2);
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), quick(FailurePolicy::stop()))
        .start()
        .await
        .unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    let last = add_many(&store, 3, 1).await;
    let stopped = until(&running, "accounts", ConsumerState::Stopped).await;
    let error = stopped.failure.unwrap().error;
    assert!(error.contains("position 2 panics"), "{error}");
    assert_eq!(total(&read, "accounts").await.0, 1, "the failed transaction is rolled back");
    knobs.repair();
    running.resume("accounts").await.unwrap();
    caught_up(&running, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_failure_is_retried() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    knobs.fail(30);
    let options = ProjectorOptions::new().on_failure(
        FailurePolicy::stop()
            .retries(1_000)
            .pauses(Duration::from_millis(5), Duration::from_millis(20)),
    );
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), options)
        .start()
        .await
        .unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    let last = add_many(&store, 60, 3).await;
    let retrying = until(&running, "accounts", ConsumerState::Retrying).await;
    assert!(!retrying.failure.unwrap().stopped);
    knobs.repair();
    caught_up(&running, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (60, 60));
    until(&running, "accounts", ConsumerState::Live).await;
}

/// Position 4 of account 1 fails; events of three accounts follow in turn.
async fn with_parked(knobs: &Arc<Knobs>) -> (super::fresh::Store, Read, Projections) {
    let (store, read) = super::fresh::stores().await;
    knobs.fail(5);
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(knobs), quick(FailurePolicy::park()))
        .start()
        .await
        .unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    let mut last = Position::START;
    for turn in 0..12 {
        last = add(&store, turn % 3, 1).await;
    }
    caught_up(&running, "accounts", last).await;
    (store, read, running)
}

async fn parked(running: &Projections) -> Vec<u64> {
    let parked = running.parked("accounts").await.unwrap();
    parked.iter().filter(|e| e.discarded.is_none()).map(|e| e.position.get()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_event_is_parked_with_the_later_ones_of_its_key() {
    let knobs: Arc<Knobs> = Arc::default();
    let (store, read, running) = with_parked(&knobs).await;
    // Positions 2, 5, 8, 11 are of account 1.
    assert_eq!(parked(&running).await, [5, 8, 11]);
    let events = running.parked("accounts").await.unwrap();
    assert!(events[0].error.as_ref().unwrap().contains("position 5 fails"));
    assert_eq!((events[0].attempts, &*events[0].key), (3, "account-1"));
    assert_eq!((&events[1].error, events[1].attempts), (&None, 0));
    let counts = rows(&read, "accounts").await;
    let count = |key: &str| counts[key].count;
    assert_eq!((count("account-0"), count("account-1"), count("account-2")), (4, 1, 4));
    let now = health(&running, "accounts").await;
    assert_eq!((now.state, now.parked, now.lag), (ConsumerState::Live, 3, 0));

    // It still fails, so it stays parked with the new error.
    assert_eq!(running.retry_parked("accounts", Some("account-1")).await.unwrap(), 3);
    eventually(WITHIN, || async {
        let first = running.parked("accounts").await.unwrap().remove(0);
        if first.attempts == 4 && !first.retry_requested { Ok(()) } else { Err("not retried") }
    })
    .await;
    assert_eq!(parked(&running).await, [5, 8, 11]);

    // After a restart the key is still parked.
    running.stop().await;
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), quick(FailurePolicy::park()))
        .start()
        .await
        .unwrap();
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    assert_eq!(parked(&running).await, [5, 8, 11, 13]);

    // Repaired: the events are projected in order, and the key is free again.
    knobs.repair();
    running.retry_parked("accounts", None).await.unwrap();
    eventually(WITHIN, || async {
        let left = parked(&running).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    let row = rows(&read, "accounts").await["account-1"];
    assert_eq!((row.count, row.sum, row.disorder), (6, 6, 0));
    assert_eq!(parked(&running).await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn discarding_a_parked_event_keeps_the_reason_and_frees_its_key() {
    let knobs: Arc<Knobs> = Arc::default();
    let (store, read, running) = with_parked(&knobs).await;
    let discarded =
        running.discard_parked("accounts", Position::new(5), "entered twice").await.unwrap();
    assert!(discarded);
    eventually(WITHIN, || async {
        let left = parked(&running).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    eventually(WITHIN, || async {
        let row = rows(&read, "accounts").await["account-1"];
        if (row.count, row.disorder) == (4, 0) { Ok(()) } else { Err(format!("{row:?}")) }
    })
    .await;
    let record = running.parked("accounts").await.unwrap().remove(0);
    assert_eq!(record.discarded.as_deref(), Some("entered twice"));
    assert!(!running.discard_parked("accounts", Position::new(5), "again").await.unwrap());
}

async fn append_broken(store: &impl EventStore, stream: StreamName) -> Position {
    let payload = Payload::from_stored(BROKEN);
    let event = NewEvent::raw("test.added".try_into().unwrap(), 1, payload);
    let append = Append::to(stream, ExpectedVersion::Any, vec![event]);
    store.append(append).await.unwrap().position()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_event_stops_by_default_and_is_parked_on_request() {
    let (store, read) = super::fresh::stores().await;
    let parking = quick(FailurePolicy::stop().undecodable(FailureAction::Park)).partitions(2);
    let running = projections(&store, &read)
        .projector_with(<Tally>::new(), quick(FailurePolicy::park()))
        .projector_with(Tally::<Second>::new(), parking)
        .start()
        .await
        .unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    assert!(running.wait_until_built("second", WITHIN).await.unwrap());
    add_many(&store, 41, 1).await;
    append_broken(&store, account(7)).await;
    let mut last = Position::START;
    for turn in 0..6 {
        last = add(&store, 6 + turn % 3, 1).await;
    }
    let stopped = until(&running, "accounts", ConsumerState::Stopped).await;
    let failure = stopped.failure.unwrap();
    assert_eq!(failure.position, Position::new(42));
    for part in ["event 1 of `account-7`", "position 42", "test.added v1"] {
        assert!(failure.error.contains(part), "{}", failure.error);
    }
    assert_eq!(total(&read, "accounts").await.0, 41);

    caught_up(&running, "second", last).await;
    let parked = running.parked("second").await.unwrap();
    let parked: Vec<_> = parked.iter().map(|e| (e.position.get(), &*e.key)).collect();
    assert_eq!(parked, [(42, "account-7"), (44, "account-7"), (47, "account-7")]);
    assert_eq!(total(&read, "second").await.0, 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_delays_neither_other_partitions_nor_the_stop() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    let policy = FailurePolicy::stop()
        .retries(100)
        .pauses(Duration::from_secs(3_600), Duration::from_secs(3_600));
    let options = ProjectorOptions::new().partitions(4).on_failure(policy);
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), options)
        .start()
        .await
        .unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    knobs.fail(1);
    for turn in 0..40 {
        add(&store, turn, 1).await;
    }
    let others = eventually(WITHIN, || async {
        let health = health(&running, "accounts").await;
        let done = health.partitions.iter().filter(|p| p.position == health.head).count();
        if done == 3 { Ok(health) } else { Err(format!("{health:#?}")) }
    })
    .await;
    assert_eq!((others.state, others.position), (ConsumerState::Retrying, Position::START));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_projector_handles_nothing_until_it_is_resumed() {
    let (store, read) = super::fresh::stores().await;
    let running = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    running.pause("accounts").await.unwrap();
    until(&running, "accounts", ConsumerState::Paused).await;
    // The worker follows at its next heartbeat.
    eventually(WITHIN, || async {
        let before = total(&read, "accounts").await;
        let last = add(&store, 1, 1).await;
        let waited = running.wait_for("accounts", last, Duration::from_millis(100)).await;
        let after = total(&read, "accounts").await;
        if before == after { Ok(()) } else { Err(format!("{waited:?}")) }
    })
    .await;
    running.resume("accounts").await.unwrap();
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    assert!(running.pause("unknown").await.is_err());
}
