//! What tests rely on: the clock, independent stores, reset, concurrent appends, cancellation and
//! yielding to other tasks.

#![allow(clippy::unwrap_used)] // a test may

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use cqrs_core::{
    CommandId, EventStore, EventStoreExt, ExpectedVersion, Position, StreamName, Timestamp,
    Version,
    app::Clock,
    event::{NewEvent, Payload, RecordedEvent},
    store::{
        Append, AppendError, CommandKey, LogRead, Read, Snapshot, SnapshotStore, State, StateStore,
        StreamQuery, StreamRead,
    },
};
use cqrs_memory::MemoryStore;
use futures_util::{FutureExt, StreamExt};

#[derive(Clone, Debug, Default)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    fn set(&self, micros: i64) -> Timestamp {
        self.0.store(micros, Ordering::Relaxed);
        self.now()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event() -> NewEvent {
    NewEvent::json("tick", &1).unwrap()
}

fn append(name: &str, expected: ExpectedVersion) -> Append {
    Append::to(stream(name), expected, vec![event()])
}

async fn log(store: &MemoryStore) -> Vec<RecordedEvent> {
    store.read(Read::all()).await.unwrap().collect().await.unwrap()
}

#[tokio::test]
async fn an_event_is_dated_by_the_clock_unless_it_has_its_own_time() {
    let clock = TestClock::default();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let (stored, own) = (clock.set(1_000), Timestamp::from_micros(5));
    let events = vec![event(), event().with_recorded_at(own), event()];
    let outcome = store.append(Append::to(stream("a-1"), Version::ZERO, events)).await.unwrap();

    assert_eq!(outcome.recorded_at, stored);
    let times: Vec<_> = log(&store).await.iter().map(|event| event.recorded_at).collect();
    assert_eq!(times, [stored, own, stored]);
}

#[tokio::test]
async fn a_repeated_append_returns_the_first_outcome() {
    let clock = TestClock::default();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    clock.set(1_000);
    store.append(append("b-1", ExpectedVersion::Any)).await.unwrap();

    // Two streams with events, some with their own time, and a third that is only checked.
    clock.set(2_000);
    let own = Timestamp::from_micros(5);
    let whole = Append::to(stream("a-1"), Version::ZERO, vec![event().with_recorded_at(own)])
        .and_to(stream("b-1"), Version::new(1), vec![])
        .and_to(stream("c-1"), Version::ZERO, vec![event(), event().with_recorded_at(own)]);
    let first = store.append(whole.clone()).await.unwrap();

    clock.set(3_000);
    for name in ["a-1", "b-1", "c-1"] {
        store.append(append(name, ExpectedVersion::Any)).await.unwrap();
    }
    let again = store.append(whole).await.unwrap();
    assert_eq!(again, first.again());
    assert_eq!(store.head().await.unwrap(), Position::new(7));
}

#[tokio::test]
async fn a_repeated_command_returns_the_first_outcome_and_its_id_cannot_be_reused() {
    let store = MemoryStore::new();
    let (id, name) = (CommandId::random(), stream("a-1"));
    let key = |content: u8| CommandKey::new(id, &name, &Payload::encode(&content).unwrap());
    let with = |content| append("a-1", ExpectedVersion::NoStream).with_command(key(content));

    // New event ids and an expected version that is out of date: only the command id is known.
    let first = store.append(with(1)).await.unwrap();
    assert_eq!(store.append(with(1)).await.unwrap(), first.again());
    let other = store.append(with(2)).await;
    assert!(matches!(other, Err(AppendError::CommandIdReused { id: named }) if named == id));
    assert_eq!(log(&store).await.len(), 1);
}

#[tokio::test]
async fn commands_recorded_before_a_time_are_forgotten() {
    let clock = TestClock::default();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let mut keys = Vec::new();
    for micros in [1_000, 2_000, 3_000] {
        clock.set(micros);
        let (name, content) = (stream("a-1"), Payload::encode(&micros).unwrap());
        let key = CommandKey::new(CommandId::random(), &name, &content);
        store.append(append("a-1", ExpectedVersion::Any).with_command(key)).await.unwrap();
        keys.push(key);
    }
    assert_eq!(store.forget_commands(Timestamp::from_micros(2_000)).await.unwrap(), 1);
    assert_eq!(store.find_command(keys[0].id).await.unwrap(), None);
    for key in &keys[1..] {
        assert_eq!(store.find_command(key.id).await.unwrap().unwrap().key, *key);
    }
    assert_eq!(log(&store).await.len(), 3);
}

#[tokio::test]
async fn stored_events_in_another_append_are_duplicates() {
    let store = MemoryStore::new();
    let events: Vec<_> = (0..3).map(|_| event()).collect();
    let to = |name, picked: &[usize]| {
        let events = picked.iter().map(|at| events[*at].clone()).collect();
        Append::to(stream(name), ExpectedVersion::Any, events)
    };
    store.append(to("a-1", &[0, 1])).await.unwrap();
    store.append(append("b-1", ExpectedVersion::Any)).await.unwrap();
    store.append(to("a-1", &[2])).await.unwrap();

    let wrong: [(&str, &[usize]); 5] =
        [("a-1", &[1, 0]), ("a-1", &[1, 2]), ("b-1", &[0, 1]), ("a-1", &[0, 2]), ("c-1", &[2])];
    for (name, picked) in wrong {
        let outcome = store.append(to(name, picked)).await;
        let Err(AppendError::DuplicateEvent { id, stream: at }) = outcome else {
            panic!("{picked:?} to {name}: {outcome:?}");
        };
        assert_eq!((id, at), (events[picked[0]].id, stream("a-1")));
    }
    let mut mixed = to("a-1", &[1]);
    mixed.streams[0].events.insert(0, event());
    assert!(matches!(store.append(mixed).await, Err(AppendError::DuplicateEvent { .. })));
    assert_eq!(store.head().await.unwrap(), Position::new(4));
}

#[tokio::test]
async fn reset_removes_everything() {
    let store = MemoryStore::new();
    let name = stream("a-1");
    let content = Payload::encode(&1).unwrap();
    let key = CommandKey::new(CommandId::random(), &name, &content);
    let state = State::new("s", content.clone());
    let append = append("a-1", ExpectedVersion::NoStream).with_state(state).with_command(key);
    let snapshot =
        Snapshot::new(name.clone(), Version::new(1), "s", content, Timestamp::UNIX_EPOCH);
    store.append(append.clone()).await.unwrap();
    store.save_snapshot(snapshot).await.unwrap();
    let mut open = store.read_stream(StreamRead::forward(name.clone()).page_size(1));
    let mut log_open = store.read_log(LogRead::forward().page_size(1));
    store.append(Append::to(name.clone(), Version::new(1), vec![event()])).await.unwrap();
    assert!(open.next().await.is_some() && log_open.next().await.is_some());

    store.clone().reset();
    assert_eq!(store.head().await.unwrap(), Position::START);
    assert_eq!(store.stream_info(&name).await.unwrap(), None);
    assert_eq!(store.list_streams(StreamQuery::default()).await.unwrap().total, 0);
    assert_eq!(store.load_snapshot(&name).await.unwrap(), None);
    assert_eq!(store.load_state(&name).await.unwrap(), None);
    assert_eq!(store.find_command(key.id).await.unwrap(), None);
    assert!(open.next().await.is_none(), "a read that has begun ends");

    let outcome = store.append(append).await.unwrap();
    assert_eq!((outcome.repeated, outcome.position()), (false, Position::new(1)));
}

#[tokio::test]
async fn two_stores_are_independent() {
    let (one, other) = (MemoryStore::new(), MemoryStore::new());
    one.append(append("a-1", ExpectedVersion::NoStream)).await.unwrap();
    other.append(append("a-1", ExpectedVersion::NoStream)).await.unwrap();
    assert_eq!(one.clone().head().await.unwrap(), Position::new(1));
    assert_eq!(log(&other).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_five_appends_with_the_same_expected_version_succeeds() {
    for round in 0..200 {
        let store = MemoryStore::new();
        let gate = Arc::new(tokio::sync::Barrier::new(5));
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let (store, gate) = (store.clone(), Arc::clone(&gate));
                tokio::spawn(async move {
                    gate.wait().await;
                    store.append(append("a-1", ExpectedVersion::NoStream)).await
                })
            })
            .collect();
        let mut stored = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => stored += 1,
                Err(AppendError::Conflict(conflict)) => {
                    assert_eq!(conflict.actual, Version::new(1), "round {round}");
                }
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
        assert_eq!((stored, log(&store).await.len()), (1, 1), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_polling_reader_reads_every_position_once_and_in_order() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 500;
    let store = MemoryStore::new();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let append = append(&format!("w-{writer}"), ExpectedVersion::Any);
                    store.append(append).await.unwrap();
                }
            })
        })
        .collect();

    let (mut seen, mut ids) = (Position::START, BTreeSet::new());
    while seen < Position::new(WRITERS * EACH) {
        store.wait_for_head_after(seen).await;
        let mut pages = store.read_log(LogRead::forward().after(seen).page_size(64));
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            for event in page.events {
                assert_eq!(event.position, seen.next());
                assert!(ids.insert(event.id));
                seen = event.position;
            }
            assert_eq!(page.through, seen);
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn an_append_that_is_dropped_before_it_ran_stores_nothing() {
    let store = MemoryStore::new();
    let mut stored = 0;
    // At some point the task's budget is used up, and the append yields.
    let dropped = (0..10_000).any(|_| {
        let is_ready = store.append(append("a-1", ExpectedVersion::Any)).now_or_never().is_some();
        stored += u64::from(is_ready);
        !is_ready
    });
    assert!(dropped, "no append yielded");
    assert_eq!(store.head().await.unwrap(), Position::new(stored));
}

#[tokio::test]
async fn a_busy_loop_of_store_calls_lets_other_tasks_run() {
    let store = MemoryStore::new();
    store.append(append("a-1", ExpectedVersion::Any)).await.unwrap();
    for reads in [false, true] {
        let ran = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ran);
        tokio::spawn(async move { flag.store(true, Ordering::Relaxed) });
        for _ in 0..10_000 {
            if reads {
                log(&store).await;
            } else {
                store.append(append("a-1", ExpectedVersion::Any)).await.unwrap();
            }
            if ran.load(Ordering::Relaxed) {
                break;
            }
        }
        assert!(ran.load(Ordering::Relaxed), "reads: {reads}");
    }
}
