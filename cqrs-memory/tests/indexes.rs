//! Reading through an index answers exactly as looking at the whole log would.

#![allow(clippy::unwrap_used)] // a test may

use cqrs_core::{
    Append, Category, CorrelationId, Direction, EventName, EventStore, ExpectedVersion, Filter,
    LogRead, Metadata, NewEvent, Payload, Position, RecordedEvent, StreamName,
};
use cqrs_memory::MemoryStore;
use futures_util::TryStreamExt;

/// SplitMix64: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

fn stream(dice: &mut Dice) -> StreamName {
    StreamName::of(&format!("category{}", dice.roll(3)), &dice.roll(4)).unwrap()
}

fn kind(dice: &mut Dice) -> EventName {
    EventName::new(format!("type{}", dice.roll(5))).unwrap()
}

fn conversation(dice: &mut Dice) -> CorrelationId {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(dice.roll(6)).unwrap();
    CorrelationId::new(uuid::Uuid::from_bytes(bytes))
}

async fn fill(store: &MemoryStore, dice: &mut Dice) {
    for number in 0..dice.roll(60) {
        let events = (0..dice.roll(5)).map(|_| {
            let mut metadata = Metadata::default();
            if dice.roll(2) == 0 {
                metadata = metadata.with_correlation_id(conversation(dice));
            }
            NewEvent::raw(kind(dice), 1, Payload::encode(&number).unwrap()).with_metadata(metadata)
        });
        let events = events.collect();
        store.append(Append::to(stream(dice), ExpectedVersion::Any, events)).await.unwrap();
    }
}

fn filter(dice: &mut Dice) -> Filter {
    let mut filter = Filter::all();
    if dice.roll(4) == 0 {
        filter = Filter::stream(stream(dice));
    }
    // With repetitions on purpose: nothing may be found twice.
    for _ in 0..dice.roll(4) {
        filter = filter.and_category(Category::new(stream(dice).category()).unwrap());
    }
    for _ in 0..dice.roll(4) {
        filter = filter.and_type(kind(dice));
    }
    if dice.roll(4) == 0 {
        filter.correlation_id = Some(conversation(dice));
    }
    filter
}

fn read(dice: &mut Dice) -> LogRead {
    let mut read = if dice.roll(2) == 0 { LogRead::forward() } else { LogRead::backward() };
    read = read.filter(filter(dice)).page_size(usize::try_from(dice.roll(20)).unwrap());
    if dice.roll(2) == 0 {
        read = read.from(dice.roll(160));
    }
    if dice.roll(3) == 0 {
        read = read.limit(dice.roll(30));
    }
    read
}

/// What the read means, said as plainly as possible.
fn expected(all: &[RecordedEvent], read: &LogRead) -> Vec<Position> {
    let limit = read.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
    let passing = all.iter().filter(|event| read.filter.matches(event)).map(|e| e.position);
    match read.direction {
        Direction::Forward => {
            let from = read.from.unwrap_or_default();
            passing.filter(|position| *position >= from).take(limit).collect()
        }
        Direction::Backward => {
            let from = read.from.unwrap_or(Position::new(u64::MAX));
            passing.rev().filter(|position| *position <= from).take(limit).collect()
        }
    }
}

#[tokio::test]
async fn b062_every_filter_finds_what_a_look_at_the_whole_log_finds() {
    let mut found = 0;
    for seed in 0..300 {
        let dice = &mut Dice(seed);
        let store = MemoryStore::new();
        fill(&store, dice).await;
        let all = store.read_log(LogRead::forward()).try_collect::<Vec<_>>().await.unwrap();
        let all: Vec<_> = all.into_iter().flat_map(|page| page.events).collect();
        let head = store.head().await.unwrap();
        assert_eq!(all.len() as u64, head.get(), "seed {seed}");

        for _ in 0..20 {
            let read = read(dice);
            let pages: Vec<_> = store.read_log(read.clone()).try_collect().await.unwrap();
            let context = format!("seed {seed}, {read:?}, {} events", all.len());
            let expected = expected(&all, &read);
            let got: Vec<_> =
                pages.iter().flat_map(|page| &page.events).map(|event| event.position).collect();
            assert_eq!(got, expected, "{context}");
            found += got.len();

            assert!(!pages.is_empty(), "{context}");
            assert!(pages.iter().all(|page| page.events.len() <= read.page_size), "{context}");
            let (last, others) = pages.split_last().unwrap();
            assert!(others.iter().all(|page| !page.events.is_empty()), "{context}");
            if read.direction == Direction::Forward {
                let limited = read.limit == Some(got.len() as u64);
                let end = if limited { last.events.last().map(|e| e.position) } else { Some(head) };
                assert!(end.is_none_or(|end| last.through == end), "{context}: {last:?}");
                assert!(pages.is_sorted_by(|a, b| a.through < b.through), "{context}");
                assert!(last.through <= head, "{context}");
            } else {
                assert!(last.events.len() == got.len() || !last.events.is_empty(), "{context}");
            }
        }
    }
    assert!(found > 10_000, "only {found} events were compared");
}
