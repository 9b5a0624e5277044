//! Compares reads and listings with a search through the whole log.

#![allow(clippy::unwrap_used)] // a test may

use cqrs_core::{
    CorrelationId, EventStore, ExpectedVersion, Metadata, Position, StreamName, Version,
    event::{EventName, NewEvent, Payload, RecordedEvent},
    store::{
        Append, Category, Direction, Filter, LogRead, ReadError, StreamInfo, StreamOrder,
        StreamQuery, StreamRead,
    },
};
use cqrs_memory::MemoryStore;
use futures_util::TryStreamExt;

/// Random numbers (SplitMix64), the same for the same seed.
struct Dice(u64);

impl Dice {
    /// Returns a number below `sides`.
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

fn event_name(dice: &mut Dice) -> EventName {
    EventName::new(format!("type{}", dice.roll(5))).unwrap()
}

fn correlation_id(dice: &mut Dice) -> CorrelationId {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(dice.roll(6)).unwrap();
    CorrelationId::new(uuid::Uuid::from_bytes(bytes))
}

async fn fill(store: &MemoryStore, dice: &mut Dice) {
    for number in 0..dice.roll(60) {
        let events = (0..dice.roll(5)).map(|_| {
            let mut metadata = Metadata::default();
            if dice.roll(2) == 0 {
                metadata = metadata.with_correlation_id(correlation_id(dice));
            }
            NewEvent::raw(event_name(dice), 1, Payload::encode(&number).unwrap())
                .with_metadata(metadata)
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
    // Repeated names must not return events twice.
    for _ in 0..dice.roll(4) {
        filter = filter.and_category(Category::new(stream(dice).category()).unwrap());
    }
    for _ in 0..dice.roll(4) {
        filter = filter.and_type(event_name(dice));
    }
    if dice.roll(4) == 0 {
        filter.correlation_id = Some(correlation_id(dice));
    }
    filter
}

fn read(dice: &mut Dice) -> LogRead {
    let mut read = if dice.roll(2) == 0 { LogRead::forward() } else { LogRead::backward() };
    read = read.filter(filter(dice));
    // Set directly, because the setter does not allow 0.
    read.page_size = usize::try_from(dice.roll(20)).unwrap();
    if dice.roll(2) == 0 {
        read = read.from(dice.roll(160));
    }
    if dice.roll(3) == 0 {
        read = read.limit(dice.roll(30));
    }
    read
}

/// Returns the positions that the read should return.
fn expected(all: &[RecordedEvent], read: &LogRead) -> Vec<Position> {
    let limit = read.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
    let matching = all.iter().filter(|event| read.filter.matches(event)).map(|e| e.position);
    match read.direction {
        Direction::Forward => {
            let from = read.from.unwrap_or_default();
            matching.filter(|position| *position >= from).take(limit).collect()
        }
        Direction::Backward => {
            let from = read.from.unwrap_or(Position::new(u64::MAX));
            matching.rev().filter(|position| *position <= from).take(limit).collect()
        }
    }
}

async fn whole_log(store: &MemoryStore) -> Vec<RecordedEvent> {
    let pages: Vec<_> = store.read_log(LogRead::forward()).try_collect().await.unwrap();
    pages.into_iter().flat_map(|page| page.events).collect()
}

#[tokio::test]
async fn a_filtered_read_returns_what_a_search_through_the_log_returns() {
    let mut found = 0;
    for seed in 0..300 {
        let dice = &mut Dice(seed);
        let store = MemoryStore::new();
        fill(&store, dice).await;
        let all = whole_log(&store).await;
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
            assert!(
                pages.iter().all(|page| page.events.len() <= read.page_size.max(1)),
                "{context}"
            );
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

fn stream_read(dice: &mut Dice) -> StreamRead {
    let stream = stream(dice);
    let mut read =
        if dice.roll(2) == 0 { StreamRead::forward(stream) } else { StreamRead::backward(stream) };
    read.page_size = usize::try_from(dice.roll(8)).unwrap();
    if dice.roll(2) == 0 {
        read = read.from(if dice.roll(9) == 0 { u64::MAX } else { dice.roll(25) });
    }
    if dice.roll(3) == 0 {
        read = read.limit(if dice.roll(9) == 0 { u64::MAX } else { dice.roll(12) });
    }
    read
}

#[tokio::test]
async fn a_stream_read_returns_what_the_log_contains_of_the_stream() {
    let (mut found, mut missing) = (0, 0);
    for seed in 0..300 {
        let dice = &mut Dice(seed);
        let store = MemoryStore::new();
        fill(&store, dice).await;
        let all = whole_log(&store).await;

        for _ in 0..20 {
            let read = stream_read(dice);
            let context = format!("seed {seed}, {read:?}");
            let mut expected: Vec<_> =
                all.iter().filter(|event| event.stream == read.stream).collect();
            let answer: Result<Vec<_>, _> = store.read_stream(read.clone()).try_collect().await;
            if expected.is_empty() {
                let not_found = matches!(answer, Err(ReadError::StreamNotFound { .. }));
                assert!(not_found, "{context}: {answer:?}");
                missing += 1;
                continue;
            }
            match read.direction {
                Direction::Forward => {
                    expected.retain(|e| e.version >= read.from.unwrap_or_default())
                }
                Direction::Backward => {
                    expected.reverse();
                    expected.retain(|e| e.version <= read.from.unwrap_or(Version::new(u64::MAX)));
                }
            }
            let limit = read.limit.unwrap_or(u64::MAX);
            expected.truncate(usize::try_from(limit).unwrap());

            let pages = answer.unwrap();
            let got: Vec<_> = pages.iter().flat_map(|page| &page.events).collect();
            assert_eq!(got, expected, "{context}");
            found += got.len();
            assert!(pages.len() == 1 || pages.iter().all(|p| !p.events.is_empty()), "{context}");
            for page in pages {
                assert!(page.events.len() <= read.page_size.max(1), "{context}");
                let last = page.events.last().map_or(page.through, |event| event.version);
                assert_eq!(page.through, last, "{context}");
            }
        }
    }
    assert!(found > 10_000 && missing > 100, "{found} events and {missing} missing streams");
}

#[tokio::test]
async fn a_listing_sorts_searches_and_counts_the_streams_of_the_log() {
    let orders =
        [StreamOrder::Name, StreamOrder::Version, StreamOrder::CreatedAt, StreamOrder::Position];
    for seed in 0..60 {
        let dice = &mut Dice(seed);
        let store = MemoryStore::new();
        fill(&store, dice).await;
        let mut infos: Vec<StreamInfo> = Vec::new();
        for event in whole_log(&store).await {
            match infos.iter_mut().find(|info| info.stream == event.stream) {
                Some(info) => {
                    (info.version, info.position) = (event.version, event.position);
                    info.updated_at = event.recorded_at;
                }
                None => infos.push(StreamInfo::new(
                    event.stream,
                    event.version,
                    event.position,
                    event.recorded_at,
                    event.recorded_at,
                )),
            }
        }
        infos.sort_by(|a, b| a.stream.cmp(&b.stream));
        for info in &infos {
            assert_eq!(store.stream_info(&info.stream).await.unwrap().as_ref(), Some(info));
        }
        for order in orders {
            for direction in [Direction::Forward, Direction::Backward] {
                let mut query = StreamQuery::default().search("-2").order(order, direction);
                query.page_size = dice.roll(4);
                query.page = dice.roll(4);
                let mut expected: Vec<_> =
                    infos.iter().filter(|info| info.stream.as_str().contains("-2")).collect();
                // A stable sort, so that ties are in the order of their names in both directions.
                expected.sort_by(|a, b| {
                    let ascending = match order {
                        StreamOrder::Name => a.stream.cmp(&b.stream),
                        StreamOrder::Version => a.version.cmp(&b.version),
                        StreamOrder::CreatedAt => a.created_at.cmp(&b.created_at),
                        StreamOrder::Position => a.position.cmp(&b.position),
                    };
                    if direction == Direction::Forward { ascending } else { ascending.reverse() }
                });
                let size = usize::try_from(query.page_size.max(1)).unwrap();
                let skip = size * usize::try_from(query.page.max(1) - 1).unwrap();
                let listing = store.list_streams(query.clone()).await.unwrap();
                assert_eq!(listing.total, expected.len() as u64, "seed {seed}, {query:?}");
                let page: Vec<_> = expected.into_iter().skip(skip).take(size).collect();
                assert_eq!(
                    listing.streams.iter().collect::<Vec<_>>(),
                    page,
                    "seed {seed}, {query:?}"
                );
            }
        }
        let mut far = StreamQuery::default();
        (far.page, far.page_size) = (u64::MAX, u64::MAX);
        let listing = store.list_streams(far).await.unwrap();
        assert_eq!((listing.streams.len(), listing.total), (0, infos.len() as u64));
    }
}
