//! Long reads, and reads of a few events among many.

use cluster::Database;
use cqrs_core::{
    CorrelationId, EventStore, Metadata, Position,
    event::{EventName, NewEvent},
    store::{Direction, Filter, LogRead, StreamRead},
};
use futures_util::stream::iter;
use futures_util::{StreamExt, TryStreamExt};

use crate::proxy::Proxy;
use crate::{event, one, store_in, stream};

#[tokio::test]
async fn a_filter_is_evaluated_in_the_database() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let correlation = CorrelationId::random();
    let mut metadata = Metadata::default();
    metadata.correlation_id = Some(correlation);
    let events: Vec<_> = (0..100_000_u64)
        .map(|n| match n % 10_000 {
            77 => {
                let rare = NewEvent::json("test.rare", &n).unwrap();
                (stream(&format!("rare-{n}")), rare.with_metadata(metadata.clone()))
            }
            _ => (stream(&format!("many-{}", n % 100)), event("often")),
        })
        .collect();
    store.import(iter(events)).await.unwrap();
    let wanted: Vec<u64> = (0..10).map(|n| n * 10_000 + 78).collect();
    let rare = EventName::new("test.rare").unwrap();
    let proxy = Proxy::before(&database.options()).await;
    let counted =
        cqrs_postgres::PgStore::builder().options(proxy.options()).connect().await.unwrap();
    for filter in [
        Filter::all().and_type(rare.clone()),
        Filter::category("rare".try_into().unwrap()),
        Filter::correlation(correlation),
        Filter::correlation(correlation).and_type(rare),
    ] {
        for direction in [Direction::Forward, Direction::Backward] {
            let read = match direction {
                Direction::Forward => LogRead::forward(),
                Direction::Backward => LogRead::backward(),
            };
            let before = proxy.answered_bytes();
            let pages: Vec<_> =
                counted.read_log(read.filter(filter.clone())).try_collect().await.unwrap();
            let mut found: Vec<u64> = pages
                .iter()
                .flat_map(|page| &page.events)
                .map(|event| event.position.get())
                .collect();
            if direction == Direction::Backward {
                found.reverse();
            } else {
                assert_eq!(pages.last().unwrap().through, Position::new(100_000));
            }
            assert_eq!(found, wanted, "{filter:?} {direction:?}");
            let bytes = proxy.answered_bytes() - before;
            assert!(bytes < 50_000, "{bytes} bytes for ten events, {filter:?}");
        }
    }
}

#[tokio::test]
async fn a_read_dropped_half_way_returns_its_connection() {
    let database = Database::create().await;
    store_in(&database).await;
    let store = cqrs_postgres::PgStore::builder()
        .options(database.options())
        .max_read_connections(1)
        .connect()
        .await
        .unwrap();
    let events: Vec<_> = (0..2_000).map(|n| (stream("a-1"), event(&n.to_string()))).collect();
    store.import(iter(events)).await.unwrap();
    for pages in 0..20 {
        let mut log = store.read_log(LogRead::forward().page_size(50));
        let mut one = store.read_stream(StreamRead::forward(stream("a-1")).page_size(50));
        for _ in 0..pages {
            log.next().await.unwrap().unwrap();
            one.next().await.unwrap().unwrap();
        }
    }
    // With one connection, a read that kept it would block this one.
    assert_eq!(store.head().await.unwrap().get(), 2_000);
}

#[tokio::test]
async fn a_read_ends_where_the_log_ended_when_it_began() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let events: Vec<_> = (0..500).map(|n| (stream("a-1"), event(&n.to_string()))).collect();
    store.import(iter(events)).await.unwrap();
    let mut log = store.read_log(LogRead::forward().page_size(100));
    let mut one = store.read_stream(StreamRead::forward(stream("a-1")).page_size(100));
    let mut counts = (0, 0);
    counts.0 += log.next().await.unwrap().unwrap().events.len();
    counts.1 += one.next().await.unwrap().unwrap().events.len();
    for n in 0..200 {
        store.append(crate::one("a-1", &n.to_string())).await.unwrap();
    }
    while let Some(page) = log.next().await {
        counts.0 += page.unwrap().events.len();
    }
    while let Some(page) = one.next().await {
        counts.1 += page.unwrap().events.len();
    }
    assert_eq!(counts, (500, 500));
}

/// Streams whose names look like patterns or SQL.
#[tokio::test]
async fn a_search_treats_special_characters_literally() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    for name in ["a%b", "a_b", "axb", "x'; drop table events;--", "é-🦀"] {
        store.append(one(name, "there")).await.unwrap();
    }
    for (search, found) in
        [("%", "a%b"), ("_", "a_b"), ("'", "x'; drop table events;--"), ("🦀", "é-🦀")]
    {
        let query = cqrs_core::store::StreamQuery::default().search(search);
        let listing = store.list_streams(query).await.unwrap();
        let names: Vec<_> = listing.streams.iter().map(|info| info.stream.as_str()).collect();
        assert_eq!(names, [found]);
    }
}
