//! What a test relies on: the clock, isolation, reset, races, cancellation, giving way.

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
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn set(&self, micros: i64) -> Timestamp {
        self.0.store(micros, Ordering::Relaxed);
        self.now()
    }
}

impl Clock for Hands {
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
async fn time_comes_from_the_clock_unless_the_event_brings_its_own() {
    let hands = Hands::default();
    let store = MemoryStore::builder().clock(hands.clone()).build();
    let (stored, own) = (hands.set(1_000), Timestamp::from_micros(5));
    let events = vec![event(), event().with_recorded_at(own), event()];
    let answer = store.append(Append::to(stream("a-1"), Version::ZERO, events)).await.unwrap();

    assert_eq!(answer.recorded_at, stored);
    let times: Vec<_> = log(&store).await.iter().map(|event| event.recorded_at).collect();
    assert_eq!(times, [stored, own, stored]);
}

#[tokio::test]
async fn the_first_answer_comes_again_to_the_letter() {
    let hands = Hands::default();
    let store = MemoryStore::builder().clock(hands.clone()).build();
    hands.set(1_000);
    store.append(append("b-1", ExpectedVersion::Any)).await.unwrap();

    // Two streams, a third that is only a condition, and events with times of their own.
    hands.set(2_000);
    let own = Timestamp::from_micros(5);
    let whole = Append::to(stream("a-1"), Version::ZERO, vec![event().with_recorded_at(own)])
        .and_to(stream("b-1"), Version::new(1), vec![])
        .and_to(stream("c-1"), Version::ZERO, vec![event(), event().with_recorded_at(own)]);
    let first = store.append(whole.clone()).await.unwrap();

    hands.set(3_000);
    for name in ["a-1", "b-1", "c-1"] {
        store.append(append(name, ExpectedVersion::Any)).await.unwrap();
    }
    let again = store.append(whole).await.unwrap();
    assert_eq!(again, first.again());
    assert_eq!(store.head().await.unwrap(), Position::new(7));
}

#[tokio::test]
async fn a_known_command_answers_first_and_another_under_its_id_is_refused() {
    let store = MemoryStore::new();
    let (id, name) = (CommandId::random(), stream("a-1"));
    let key = |content: u8| CommandKey::new(id, &name, &Payload::encode(&content).unwrap());
    let with = |content| append("a-1", ExpectedVersion::NoStream).with_command(key(content));

    // Fresh event ids and a version long past: the record alone makes it known.
    let first = store.append(with(1)).await.unwrap();
    assert_eq!(store.append(with(1)).await.unwrap(), first.again());
    let other = store.append(with(2)).await;
    assert!(matches!(other, Err(AppendError::CommandIdReused { id: named }) if named == id));
    assert_eq!(log(&store).await.len(), 1);
}

#[tokio::test]
async fn commands_are_forgotten_by_the_time_they_were_recorded() {
    let hands = Hands::default();
    let store = MemoryStore::builder().clock(hands.clone()).build();
    let mut keys = Vec::new();
    for micros in [1_000, 2_000, 3_000] {
        hands.set(micros);
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
async fn events_stored_in_other_company_are_duplicates() {
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
        let answer = store.append(to(name, picked)).await;
        let Err(AppendError::DuplicateEvent { id, stream: at }) = answer else {
            panic!("{picked:?} to {name}: {answer:?}");
        };
        assert_eq!((id, at), (events[picked[0]].id, stream("a-1")));
    }
    let mut mixed = to("a-1", &[1]);
    mixed.streams[0].events.insert(0, event());
    assert!(matches!(store.append(mixed).await, Err(AppendError::DuplicateEvent { .. })));
    assert_eq!(store.head().await.unwrap(), Position::new(4));
}

#[tokio::test]
async fn reset_wipes_everything() {
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
    assert!(open.next().await.is_none(), "a read that was open ends");

    let answer = store.append(append).await.unwrap();
    assert_eq!((answer.repeated, answer.position()), (false, Position::new(1)));
}

#[tokio::test]
async fn two_stores_do_not_see_each_other() {
    let (one, other) = (MemoryStore::new(), MemoryStore::new());
    one.append(append("a-1", ExpectedVersion::NoStream)).await.unwrap();
    other.append(append("a-1", ExpectedVersion::NoStream)).await.unwrap();
    assert_eq!(one.clone().head().await.unwrap(), Position::new(1));
    assert_eq!(log(&other).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_five_that_expect_the_same_version_one_wins() {
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
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => won += 1,
                Err(AppendError::Conflict(conflict)) => {
                    assert_eq!(conflict.actual, Version::new(1), "round {round}");
                }
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
        assert_eq!((won, log(&store).await.len()), (1, 1), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_polling_reader_sees_every_position_once_and_in_order() {
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
async fn an_append_that_is_dropped_before_its_turn_stores_nothing() {
    let store = MemoryStore::new();
    let mut stored = 0;
    // The task's budget runs out at some point, and the append has to wait for its turn.
    let dropped = (0..10_000).any(|_| {
        let is_ready = store.append(append("a-1", ExpectedVersion::Any)).now_or_never().is_some();
        stored += u64::from(is_ready);
        !is_ready
    });
    assert!(dropped, "no append ever waited");
    assert_eq!(store.head().await.unwrap(), Position::new(stored));
}

#[tokio::test]
async fn a_busy_loop_on_the_store_lets_other_tasks_run() {
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
