//! Runs the same random operations on two stores and compares the results.
//!
//! This finds combinations that no case of the conformance suite was written for. There are few
//! streams, ids and commands, so the operations often concern the same ones.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failure is a panic

use std::collections::VecDeque;
use std::fmt::Write as _;

use cqrs_core::{
    CommandId, CorrelationId, EventId, ExpectedVersion, Metadata, Position, StreamName, Timestamp,
    Version,
    event::{EventName, NewEvent, Payload, RecordedEvent},
    store::{
        Append, AppendError, Appended, Category, CommandKey, Direction, Filter, LogRead, Pages,
        ReadError, SaveStateError, Snapshot, State, StreamAppend, StreamOrder, StreamQuery,
        StreamRead,
    },
};
use futures_util::StreamExt;
use uuid::Uuid;

use crate::conformance::Store;

/// The number of operations that are shown when two results differ.
const SHOWN: usize = 8;
/// The times of events that have one are before this, and the times that stores set are after it.
const OLD: i64 = 1_000_000_000_000;

/// Returns the environment variable `CQRS_SEED` if it is set, or a random seed.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("CQRS_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| Uuid::now_v7().as_u64_pair().1)
}

/// Runs a number of random operations on two empty stores.
///
/// The times that the stores set may differ. Everything else must be equal: versions, positions,
/// order, contents, pages and errors.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use cqrs_memory::MemoryStore;
/// use cqrs_testing::model;
///
/// model::compare(&MemoryStore::new(), &MemoryStore::new(), model::seed(), 200).await;
/// # }
/// ```
///
/// # Panics
/// Panics at the first difference. The message contains the seed, the last operations and both
/// results.
pub async fn compare(left: &impl Store, right: &impl Store, seed: u64, operations: usize) {
    let mut chance = Chance(seed);
    let mut times = (FirstTimes::default(), FirstTimes::default());
    let mut done = VecDeque::new();
    for number in 1..=operations {
        let operation = Operation::any(&mut chance);
        done.push_back(format!("{number}: {operation:?}"));
        if done.len() > SHOWN {
            done.pop_front();
        }
        let here = operation.run(left, &mut times.0).await;
        let there = operation.run(right, &mut times.1).await;
        assert!(
            here == there,
            "the stores differ; repeat with CQRS_SEED={seed}\n{}\n  left: {here}\n right: {there}",
            done.make_contiguous().join("\n")
        );
    }
}

/// A reproducible sequence of random choices (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn some(&mut self, bound: u64) -> Option<u64> {
        self.one_in(2).then(|| self.below(bound))
    }

    fn stream(&mut self) -> StreamName {
        let names = ["cart-1", "cart-2", "order-1", "order-%", "alone"];
        StreamName::new(names[self.below(5) as usize]).unwrap()
    }

    fn name(&mut self) -> EventName {
        EventName::new(["added", "removed", "closed"][self.below(3) as usize]).unwrap()
    }

    fn payload(&mut self) -> Payload {
        Payload::encode(&self.below(1_000)).unwrap()
    }

    fn correlation(&mut self) -> CorrelationId {
        CorrelationId::new(Uuid::from_u128(500 + u128::from(self.below(3))))
    }

    fn command(&mut self) -> CommandId {
        CommandId::new(Uuid::from_u128(900 + u128::from(self.below(12))))
    }

    fn expected(&mut self) -> ExpectedVersion {
        match self.below(6) {
            0..=2 => ExpectedVersion::Any,
            3 => ExpectedVersion::NoStream,
            4 => ExpectedVersion::StreamExists,
            _ => ExpectedVersion::Exact(Version::new(self.below(12))),
        }
    }

    fn event(&mut self) -> NewEvent {
        let mut metadata = Metadata::default();
        if self.one_in(3) {
            metadata = metadata.with_correlation_id(self.correlation());
        }
        if self.one_in(5) {
            metadata = metadata.with_actor("teller \u{1f980}").with_header("n", self.below(9));
        }
        let mut event = NewEvent::raw(self.name(), 1 + self.below(3) as u32, self.payload())
            .with_metadata(metadata);
        // Most ids are new; the others are repeated often.
        event.id = EventId::new(match self.one_in(4) {
            true => Uuid::from_u128(1 + u128::from(self.below(8))),
            false => Uuid::from_u128(1_000_000 + u128::from(self.below(u64::MAX))),
        });
        if self.one_in(4) {
            event.recorded_at = Some(Timestamp::from_micros(self.below(OLD.unsigned_abs()) as i64));
        }
        event
    }

    fn append(&mut self) -> Append {
        let mut append = Append::empty();
        for _ in 0..=self.below(3) {
            let mut part = StreamAppend::new(self.stream(), self.expected());
            part.events = (0..self.below(4)).map(|_| self.event()).collect();
            if self.one_in(5) {
                part.state = Some(State::new("t", self.payload()));
            }
            append.streams.push(part);
        }
        if self.one_in(4) {
            let content = Payload::encode(&self.below(2)).unwrap();
            let stream = StreamName::new("cart-1").unwrap();
            append = append.with_command(CommandKey::new(self.command(), &stream, &content));
        }
        append
    }

    fn filter(&mut self) -> Filter {
        let mut filter = Filter::all();
        if self.one_in(4) {
            filter.stream = Some(self.stream());
        }
        for _ in 0..self.below(3) {
            let name = ["cart", "order", "alone"][self.below(3) as usize];
            filter = filter.and_category(Category::new(name).unwrap());
        }
        for _ in 0..self.below(3) {
            filter = filter.and_type(self.name());
        }
        if self.one_in(5) {
            filter.correlation_id = Some(self.correlation());
        }
        if self.one_in(3) { Filter::all() } else { filter }
    }

    fn direction(&mut self) -> Direction {
        if self.one_in(3) { Direction::Backward } else { Direction::Forward }
    }
}

#[derive(Debug)]
enum Operation {
    Append(Append),
    /// An append that is sent twice.
    Again(Append),
    ReadStream(StreamRead),
    ReadLog(LogRead),
    Head,
    Info(StreamName),
    List(StreamQuery),
    FindCommand(CommandId),
    ForgetCommands(Timestamp),
    LoadSnapshot(StreamName),
    SaveSnapshot(Snapshot),
    DeleteSnapshot(StreamName),
    LoadState(StreamName),
    SaveState(StreamName, Version, State),
}

impl Operation {
    fn any(chance: &mut Chance) -> Self {
        match chance.below(24) {
            0..=8 => Self::Append(chance.append()),
            9 => Self::Again(chance.append()),
            10..=12 => {
                let mut read = StreamRead::forward(chance.stream());
                read.direction = chance.direction();
                read.from = chance.some(15).map(Version::new);
                read.limit = chance.some(6);
                Self::ReadStream(read.page_size(1 + chance.below(5) as usize))
            }
            13..=16 => {
                let mut read = LogRead::forward().filter(chance.filter());
                read.direction = chance.direction();
                read.from = chance.some(200).map(Position::new);
                read.limit = chance.some(30);
                Self::ReadLog(read.page_size(1 + chance.below(20) as usize))
            }
            17 => Self::Head,
            18 => Self::Info(chance.stream()),
            19 => {
                let orders = [StreamOrder::Name, StreamOrder::Version, StreamOrder::Position];
                let search = ["", "-", "%", "art", "_"][chance.below(5) as usize];
                Self::List(
                    StreamQuery::default()
                        .search(search)
                        .order(orders[chance.below(3) as usize], chance.direction())
                        .page(chance.below(4))
                        .page_size(chance.below(4)),
                )
            }
            20 => match chance.below(4) {
                // Before or after all commands: in between, the result depends on the time of each store.
                0 => Self::ForgetCommands(Timestamp::MAX),
                1 => Self::ForgetCommands(Timestamp::MIN),
                _ => Self::FindCommand(chance.command()),
            },
            21 => match chance.below(3) {
                0 => Self::LoadSnapshot(chance.stream()),
                1 => Self::DeleteSnapshot(chance.stream()),
                _ => {
                    let (stream, version) = (chance.stream(), Version::new(chance.below(9)));
                    let taken = Timestamp::from_micros(7);
                    Self::SaveSnapshot(Snapshot::new(stream, version, "t", chance.payload(), taken))
                }
            },
            22 => Self::LoadState(chance.stream()),
            _ => {
                let (stream, version) = (chance.stream(), Version::new(chance.below(5)));
                Self::SaveState(stream, version, State::new("t", chance.payload()))
            }
        }
    }

    /// Returns the result as text, without the times that a store sets.
    async fn run<S: Store>(&self, store: &S, times: &mut FirstTimes) -> String {
        match self {
            Self::Append(append) => times.shown(store.append(append.clone()).await),
            Self::Again(append) => {
                let first = times.shown(store.append(append.clone()).await);
                first + &times.shown(store.append(append.clone()).await)
            }
            Self::ReadStream(read) => pages(store.read_stream(read.clone())).await,
            Self::ReadLog(read) => pages(store.read_log(read.clone())).await,
            Self::Head => format!("{:?}", store.head().await.unwrap()),
            Self::Info(stream) => {
                let info = store.stream_info(stream).await.unwrap();
                format!("{:?}", info.map(|info| (info.version, info.position)))
            }
            Self::List(query) => {
                let listing = store.list_streams(query.clone()).await.unwrap();
                let streams = listing.streams.iter().map(|i| (&i.stream, i.version, i.position));
                format!("{:?} of {}", streams.collect::<Vec<_>>(), listing.total)
            }
            Self::FindCommand(id) => {
                let found = store.find_command(*id).await.unwrap();
                let shown = found.map(|record| (record.key, record.appended.streams));
                format!("{shown:?}")
            }
            Self::ForgetCommands(before) => {
                format!("{:?}", store.forget_commands(*before).await.unwrap())
            }
            Self::LoadSnapshot(stream) => {
                format!("{:?}", store.load_snapshot(stream).await.unwrap())
            }
            Self::SaveSnapshot(snapshot) => {
                format!("{:?}", store.save_snapshot(snapshot.clone()).await.unwrap())
            }
            Self::DeleteSnapshot(stream) => {
                format!("{:?}", store.delete_snapshot(stream).await.unwrap())
            }
            Self::LoadState(name) => format!("{:?}", store.load_state(name).await.unwrap()),
            Self::SaveState(name, expected, state) => {
                match store.save_state(name, *expected, state.clone()).await {
                    Err(SaveStateError::Store(error)) => format!("{:?}", error.kind()),
                    result => format!("{result:?}"),
                }
            }
        }
    }
}

/// The first outcome of each append, whose time a repeated append must return.
#[derive(Default)]
struct FirstTimes(Vec<Appended>);

impl FirstTimes {
    fn shown(&mut self, result: Result<Appended, AppendError>) -> String {
        match result {
            Ok(appended) if appended.repeated => {
                let first = self.0.iter().rev().find(|first| first.streams == appended.streams);
                // A part of an earlier append has no such outcome.
                let is_first = first.is_none_or(|first| first.recorded_at == appended.recorded_at);
                format!("again {:?} first time: {is_first}", appended.streams)
            }
            Ok(appended) => {
                let shown = format!("{:?}", appended.streams);
                self.0.push(appended);
                shown
            }
            Err(AppendError::Store(error)) => format!("{:?}", error.kind()),
            Err(error) => format!("{error:?}"),
        }
    }
}

async fn pages<At: std::fmt::Debug>(mut pages: Pages<At>) -> String {
    let mut shown = String::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => {
                let events: Vec<_> = page.events.iter().map(event).collect();
                write!(shown, "[{} through {:?}] ", events.join(", "), page.through).unwrap();
            }
            Err(ReadError::Store(error)) => write!(shown, "{:?}", error.kind()).unwrap(),
            Err(error) => write!(shown, "{error:?}").unwrap(),
        }
    }
    shown
}

fn event(event: &RecordedEvent) -> String {
    let time = event.recorded_at.as_micros();
    let time = if time < OLD { Some(time) } else { None };
    format!(
        "#{} {} v{} {:?} {time:?} {:?} {:?}",
        event.position, event.stream, event.version, event.id, event.event, event.metadata
    )
}
