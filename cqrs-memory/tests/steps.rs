//! Failures and panics at every step: what is stored, what is returned, and that the store remains
//! usable.

#![allow(clippy::unwrap_used)] // a test may

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock};

use cqrs_core::{
    CommandId, EventStore, ExpectedVersion, Position, StreamName, Timestamp, Version,
    event::{NewEvent, Payload},
    store::{
        Append, AppendError, CommandKey, ReadError, SaveStateError, Snapshot, SnapshotStore, State,
        StateStore, StoreError, StoreErrorKind, StreamRead,
    },
};
use cqrs_memory::{MemoryStore, Step};
use futures_util::{FutureExt, StreamExt};

/// How a step fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Error,
    Panic,
}

/// The next failure, set by a test and taken by the hook.
type Plan = Arc<Mutex<Option<(Step, Fault)>>>;

fn faulty() -> (MemoryStore, Plan) {
    let plan = Plan::default();
    let taken = Arc::clone(&plan);
    let store = MemoryStore::builder().on_step(move |step| {
        let fault = taken.lock().unwrap().take_if(|(at, _)| *at == step);
        match fault {
            None => Ok(()),
            Some((_, Fault::Error)) => {
                Err(StoreError::new(StoreErrorKind::Unavailable, "failure injected by the test"))
            }
            Some((_, Fault::Panic)) => panic!("panic injected by the test"),
        }
    });
    (store.build(), plan)
}

fn name() -> StreamName {
    StreamName::new("account-1").unwrap()
}

fn state() -> State {
    State::new("account.1", Payload::encode(&7).unwrap())
}

fn event() -> NewEvent {
    NewEvent::json("account.opened", &1).unwrap()
}

/// Returns an append with events, a state and a command.
fn full_append() -> Append {
    let key = CommandKey::new(CommandId::random(), &name(), &Payload::encode(&1).unwrap());
    Append::to(name(), ExpectedVersion::NoStream, vec![event(), event()])
        .with_state(state())
        .with_command(key)
}

/// Returns `true` if the whole append is stored, and panics if only a part is.
async fn is_stored(store: &MemoryStore, append: &Append) -> bool {
    let head = store.head().await.unwrap();
    let stored = head == Position::new(2);
    assert!(stored || head == Position::START, "only some of the events are stored: {head}");
    let row = store.load_state(&name()).await.unwrap();
    assert_eq!(row.map(|row| row.version), stored.then(|| Version::new(2)));
    let record = store.find_command(append.command.unwrap().id).await.unwrap();
    assert_eq!(record.is_some(), stored);
    assert_eq!(store.stream_info(&name()).await.unwrap().is_some(), stored);
    stored
}

#[tokio::test]
async fn a_failure_at_any_step_of_an_append_stores_everything_or_nothing() {
    for (step, expect_stored) in
        [(Step::BeforeAppend, false), (Step::DuringAppend, false), (Step::AfterAppend, true)]
    {
        for fault in [Fault::Error, Fault::Panic] {
            let (store, plan) = faulty();
            let append = full_append();
            *plan.lock().unwrap() = Some((step, fault));

            let result = AssertUnwindSafe(store.append(append.clone())).catch_unwind().await;
            match (fault, result) {
                (Fault::Panic, Err(_)) => {}
                (Fault::Error, Ok(Err(AppendError::OutcomeUnknown(_)))) if expect_stored => {}
                (Fault::Error, Ok(Err(AppendError::Store(_)))) if !expect_stored => {}
                (_, result) => panic!("{fault:?} at {step:?} returned {result:?}"),
            }
            assert_eq!(is_stored(&store, &append).await, expect_stored, "{fault:?} at {step:?}");

            let again = store.append(append.clone()).await.unwrap();
            assert_eq!(again.repeated, expect_stored, "{fault:?} at {step:?}");
            assert_eq!(again.position(), Position::new(2));
            assert!(is_stored(&store, &append).await);
        }
    }
}

#[tokio::test]
async fn the_outcome_of_a_repeated_append_can_be_unknown_again() {
    let (store, plan) = faulty();
    let append = full_append();
    for _ in 0..2 {
        *plan.lock().unwrap() = Some((Step::AfterAppend, Fault::Error));
        let result = store.append(append.clone()).await;
        assert!(matches!(result, Err(AppendError::OutcomeUnknown(_))), "{result:?}");
    }
    assert!(store.append(append.clone()).await.unwrap().repeated);
    assert!(is_stored(&store, &append).await);
}

#[tokio::test]
async fn a_rejected_or_repeated_append_skips_the_step_before_storing() {
    let (store, plan) = faulty();
    let append = full_append();
    store.append(append.clone()).await.unwrap();
    *plan.lock().unwrap() = Some((Step::DuringAppend, Fault::Error));

    assert!(store.append(append).await.unwrap().repeated);
    let late = Append::to(name(), ExpectedVersion::NoStream, vec![event()]);
    assert!(matches!(store.append(late).await, Err(AppendError::Conflict(_))));
    assert!(plan.lock().unwrap().is_some(), "the step was not reached");
}

#[tokio::test]
async fn an_append_between_check_and_commit_causes_a_conflict() {
    // The hook appends to the same stream after the outer append was accepted.
    let handle: Arc<OnceLock<MemoryStore>> = Arc::default();
    let inner = Arc::clone(&handle);
    let first = Mutex::new(true);
    let store = MemoryStore::builder()
        .on_step(move |step| {
            if step == Step::DuringAppend && std::mem::take(&mut *first.lock().unwrap()) {
                let other = Append::to(name(), ExpectedVersion::NoStream, vec![event()]);
                inner.get().unwrap().append(other).now_or_never().unwrap().unwrap();
            }
            Ok(())
        })
        .build();
    handle.set(store.clone()).unwrap();

    let append = full_append();
    let Err(AppendError::Conflict(conflict)) = store.append(append.clone()).await else {
        panic!("both were stored");
    };
    assert_eq!(conflict.actual, Version::new(1));
    assert_eq!(store.head().await.unwrap(), Position::new(1));
    assert_eq!(store.load_state(&name()).await.unwrap(), None);
    assert_eq!(store.find_command(append.command.unwrap().id).await.unwrap(), None);
}

#[tokio::test]
async fn a_failure_stores_a_snapshot_or_state_only_after_its_step() {
    let snapshot = |version| {
        let payload = Payload::encode(&version).unwrap();
        Snapshot::new(name(), Version::new(version), "account.1", payload, Timestamp::UNIX_EPOCH)
    };
    for fault in [Fault::Error, Fault::Panic] {
        for (step, version) in [(Step::BeforeSaveSnapshot, 1), (Step::AfterSaveSnapshot, 2)] {
            let (store, plan) = faulty();
            store.save_snapshot(snapshot(1)).await.unwrap();
            *plan.lock().unwrap() = Some((step, fault));
            let result = AssertUnwindSafe(store.save_snapshot(snapshot(2))).catch_unwind().await;
            assert!(!matches!(result, Ok(Ok(()))), "{fault:?} at {step:?}");
            let stored = store.load_snapshot(&name()).await.unwrap().unwrap();
            assert_eq!(stored, snapshot(version), "{fault:?} at {step:?}");
        }
        for (step, exists) in
            [(Step::BeforeDeleteSnapshot, true), (Step::AfterDeleteSnapshot, false)]
        {
            let (store, plan) = faulty();
            store.save_snapshot(snapshot(1)).await.unwrap();
            *plan.lock().unwrap() = Some((step, fault));
            let result = AssertUnwindSafe(store.delete_snapshot(&name())).catch_unwind().await;
            assert!(!matches!(result, Ok(Ok(()))), "{fault:?} at {step:?}");
            let stored = store.load_snapshot(&name()).await.unwrap();
            assert_eq!(stored.is_some(), exists, "{fault:?} at {step:?}");
        }
        for (step, exists) in [(Step::BeforeSaveState, false), (Step::AfterSaveState, true)] {
            let (store, plan) = faulty();
            *plan.lock().unwrap() = Some((step, fault));
            let name = name();
            let save = store.save_state(&name, Version::ZERO, state());
            let result = AssertUnwindSafe(save).catch_unwind().await;
            assert!(!matches!(result, Ok(Ok(_))), "{fault:?} at {step:?}");
            let stored = store.load_state(&name).await.unwrap();
            assert_eq!(stored.is_some(), exists, "{fault:?} at {step:?}");
            let again = store.save_state(&name, Version::ZERO, state()).await;
            assert_eq!(matches!(again, Err(SaveStateError::Conflict(_))), exists);
        }
    }
}

#[tokio::test]
async fn commands_are_forgotten_only_after_the_step() {
    for (step, known) in [(Step::BeforeForgetCommands, true), (Step::AfterForgetCommands, false)] {
        let (store, plan) = faulty();
        let append = full_append();
        store.append(append.clone()).await.unwrap();
        *plan.lock().unwrap() = Some((step, Fault::Error));
        store.forget_commands(Timestamp::MAX).await.unwrap_err();
        let record = store.find_command(append.command.unwrap().id).await.unwrap();
        assert_eq!(record.is_some(), known, "{step:?}");
    }
}

#[tokio::test]
async fn a_read_ends_after_an_error_and_can_be_repeated() {
    let (store, plan) = faulty();
    store.append(full_append()).await.unwrap();
    let read = StreamRead::forward(name()).page_size(1);

    let mut pages = store.read_stream(read.clone());
    assert!(pages.next().await.unwrap().is_ok());
    *plan.lock().unwrap() = Some((Step::BeforeRead, Fault::Error));
    assert!(matches!(pages.next().await, Some(Err(ReadError::Store(_)))));
    assert!(pages.next().await.is_none());

    *plan.lock().unwrap() = Some((Step::BeforeRead, Fault::Error));
    assert!(store.head().await.is_err());
    assert_eq!(store.read_stream(read).count().await, 2);
}
