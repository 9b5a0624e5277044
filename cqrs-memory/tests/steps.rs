//! Faults and deaths at every step: what is stored, what is answered, and that the store goes on.

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

/// How a step goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Error,
    Panic,
}

/// Set by a test, taken by the hook that it strikes.
type Plan = Arc<Mutex<Option<(Step, Fault)>>>;

fn faulty() -> (MemoryStore, Plan) {
    let plan = Plan::default();
    let taken = Arc::clone(&plan);
    let store = MemoryStore::builder().on_step(move |step| {
        let fault = taken.lock().unwrap().take_if(|(at, _)| *at == step);
        match fault {
            None => Ok(()),
            Some((_, Fault::Error)) => {
                Err(StoreError::new(StoreErrorKind::Unavailable, "struck by the test"))
            }
            Some((_, Fault::Panic)) => panic!("died in the test"),
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

/// An append with everything an append can have.
fn whole_append() -> Append {
    let key = CommandKey::new(CommandId::random(), &name(), &Payload::encode(&1).unwrap());
    Append::to(name(), ExpectedVersion::NoStream, vec![event(), event()])
        .with_state(state())
        .with_command(key)
}

/// Whether the append is stored as a whole; half of it fails the test.
async fn is_stored(store: &MemoryStore, append: &Append) -> bool {
    let head = store.head().await.unwrap();
    let stored = head == Position::new(2);
    assert!(stored || head == Position::START, "half of the events: {head}");
    let row = store.load_state(&name()).await.unwrap();
    assert_eq!(row.map(|row| row.version), stored.then(|| Version::new(2)));
    let record = store.find_command(append.command.unwrap().id).await.unwrap();
    assert_eq!(record.is_some(), stored);
    assert_eq!(store.stream_info(&name()).await.unwrap().is_some(), stored);
    stored
}

#[tokio::test]
async fn a_fault_at_any_step_of_an_append_leaves_all_or_nothing() {
    for (step, expect_stored) in
        [(Step::BeforeAppend, false), (Step::DuringAppend, false), (Step::AfterAppend, true)]
    {
        for fault in [Fault::Error, Fault::Panic] {
            let (store, plan) = faulty();
            let append = whole_append();
            *plan.lock().unwrap() = Some((step, fault));

            let answer = AssertUnwindSafe(store.append(append.clone())).catch_unwind().await;
            match (fault, answer) {
                (Fault::Panic, Err(_)) => {}
                (Fault::Error, Ok(Err(AppendError::OutcomeUnknown(_)))) if expect_stored => {}
                (Fault::Error, Ok(Err(AppendError::Store(_)))) if !expect_stored => {}
                (_, answer) => panic!("{fault:?} at {step:?} was answered {answer:?}"),
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
async fn a_lost_answer_can_be_lost_again() {
    let (store, plan) = faulty();
    let append = whole_append();
    for _ in 0..2 {
        *plan.lock().unwrap() = Some((Step::AfterAppend, Fault::Error));
        let answer = store.append(append.clone()).await;
        assert!(matches!(answer, Err(AppendError::OutcomeUnknown(_))), "{answer:?}");
    }
    assert!(store.append(append.clone()).await.unwrap().repeated);
    assert!(is_stored(&store, &append).await);
}

#[tokio::test]
async fn an_append_that_is_refused_or_was_stored_has_no_middle() {
    let (store, plan) = faulty();
    let append = whole_append();
    store.append(append.clone()).await.unwrap();
    *plan.lock().unwrap() = Some((Step::DuringAppend, Fault::Error));

    assert!(store.append(append).await.unwrap().repeated);
    let late = Append::to(name(), ExpectedVersion::NoStream, vec![event()]);
    assert!(matches!(store.append(late).await, Err(AppendError::Conflict(_))));
    assert!(plan.lock().unwrap().is_some(), "the step was not reached");
}

#[tokio::test]
async fn what_slips_in_between_check_and_commit_is_seen() {
    // The hook itself appends to the same stream, with the outer append already accepted.
    let handle: Arc<OnceLock<MemoryStore>> = Arc::default();
    let inner = Arc::clone(&handle);
    let first = Mutex::new(true);
    let store = MemoryStore::builder()
        .on_step(move |step| {
            if step == Step::DuringAppend && std::mem::take(&mut *first.lock().unwrap()) {
                let rival = Append::to(name(), ExpectedVersion::NoStream, vec![event()]);
                inner.get().unwrap().append(rival).now_or_never().unwrap().unwrap();
            }
            Ok(())
        })
        .build();
    handle.set(store.clone()).unwrap();

    let append = whole_append();
    let Err(AppendError::Conflict(conflict)) = store.append(append.clone()).await else {
        panic!("both were stored");
    };
    assert_eq!(conflict.actual, Version::new(1));
    assert_eq!(store.head().await.unwrap(), Position::new(1));
    assert_eq!(store.load_state(&name()).await.unwrap(), None);
    assert_eq!(store.find_command(append.command.unwrap().id).await.unwrap(), None);
}

#[tokio::test]
async fn snapshots_and_states_are_kept_or_not_as_the_step_says() {
    let snapshot = |version| {
        let payload = Payload::encode(&version).unwrap();
        Snapshot::new(name(), Version::new(version), "account.1", payload, Timestamp::UNIX_EPOCH)
    };
    for fault in [Fault::Error, Fault::Panic] {
        for (step, version) in [(Step::BeforeSaveSnapshot, 1), (Step::AfterSaveSnapshot, 2)] {
            let (store, plan) = faulty();
            store.save_snapshot(snapshot(1)).await.unwrap();
            *plan.lock().unwrap() = Some((step, fault));
            let answer = AssertUnwindSafe(store.save_snapshot(snapshot(2))).catch_unwind().await;
            assert!(!matches!(answer, Ok(Ok(()))), "{fault:?} at {step:?}");
            let kept = store.load_snapshot(&name()).await.unwrap().unwrap();
            assert_eq!(kept, snapshot(version), "{fault:?} at {step:?}");
        }
        for (step, there) in
            [(Step::BeforeDeleteSnapshot, true), (Step::AfterDeleteSnapshot, false)]
        {
            let (store, plan) = faulty();
            store.save_snapshot(snapshot(1)).await.unwrap();
            *plan.lock().unwrap() = Some((step, fault));
            let answer = AssertUnwindSafe(store.delete_snapshot(&name())).catch_unwind().await;
            assert!(!matches!(answer, Ok(Ok(()))), "{fault:?} at {step:?}");
            let kept = store.load_snapshot(&name()).await.unwrap();
            assert_eq!(kept.is_some(), there, "{fault:?} at {step:?}");
        }
        for (step, there) in [(Step::BeforeSaveState, false), (Step::AfterSaveState, true)] {
            let (store, plan) = faulty();
            *plan.lock().unwrap() = Some((step, fault));
            let name = name();
            let save = store.save_state(&name, Version::ZERO, state());
            let answer = AssertUnwindSafe(save).catch_unwind().await;
            assert!(!matches!(answer, Ok(Ok(_))), "{fault:?} at {step:?}");
            let kept = store.load_state(&name).await.unwrap();
            assert_eq!(kept.is_some(), there, "{fault:?} at {step:?}");
            let again = store.save_state(&name, Version::ZERO, state()).await;
            assert_eq!(matches!(again, Err(SaveStateError::Conflict(_))), there);
        }
    }
}

#[tokio::test]
async fn forgotten_commands_stay_forgotten_when_nobody_was_told() {
    for (step, known) in [(Step::BeforeForgetCommands, true), (Step::AfterForgetCommands, false)] {
        let (store, plan) = faulty();
        let append = whole_append();
        store.append(append.clone()).await.unwrap();
        *plan.lock().unwrap() = Some((step, Fault::Error));
        store.forget_commands(Timestamp::MAX).await.unwrap_err();
        let record = store.find_command(append.command.unwrap().id).await.unwrap();
        assert_eq!(record.is_some(), known, "{step:?}");
    }
}

#[tokio::test]
async fn a_read_that_fails_ends_and_can_be_asked_again() {
    let (store, plan) = faulty();
    store.append(whole_append()).await.unwrap();
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
