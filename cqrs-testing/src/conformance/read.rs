//! Reading streams and the log.

use cqrs_core::{
    CorrelationId, Metadata, Position, Version,
    event::EventName,
    store::{Append, Category, Direction, Filter, LogRead, Page, ReadError, StreamRead},
};
use futures_util::StreamExt;

use super::fixtures::{
    Any, Fresh, append, assert_sound, event, events, log, pages, positions, stream, versions,
};

fn stream_versions(pages: &[Page<Version>]) -> Vec<u64> {
    pages.iter().flat_map(|page| versions(&page.events)).collect()
}

fn log_positions(pages: &[Page<Position>]) -> Vec<u64> {
    pages.iter().flat_map(|page| positions(&page.events)).collect()
}

pub(super) async fn a_missing_stream_is_not_found(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 1).await.unwrap();
    for read in [
        StreamRead::forward(stream("a-2")),
        StreamRead::backward(stream("a-2")),
        StreamRead::forward(stream("a-2")).from(5).limit(1),
    ] {
        let mut pages = store.read_stream(read);
        let first = pages.next().await;
        assert!(
            matches!(&first, Some(Err(ReadError::StreamNotFound { stream: at })) if *at == stream("a-2")),
            "{first:?}"
        );
    }
    // Reads are lazy: events appended before the first page is requested are included.
    let lazy = store.read_stream(StreamRead::forward(stream("a-3")));
    append(&store, "a-3", Any, 1).await.unwrap();
    assert_eq!(stream_versions(&pages(lazy).await), [1]);
}

pub(super) async fn a_read_from_after_the_end_is_empty(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 3).await.unwrap();
    for read in [
        StreamRead::forward(stream("a-1")).from(4),
        StreamRead::forward(stream("a-1")).from(u64::MAX),
        StreamRead::backward(stream("a-1")).from(0),
        StreamRead::forward(stream("a-1")).limit(0),
    ] {
        let shown = format!("{read:?}");
        let got = pages(store.read_stream(read)).await;
        assert!(stream_versions(&got).is_empty(), "{shown}");
        assert!(got.iter().all(|page| page.through == Version::ZERO), "{shown}: {got:?}");
    }
}

pub(super) async fn a_stream_is_read_forward_from_a_version_up_to_a_limit(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "b-1", Any, 2).await.unwrap();
    append(&store, "a-1", Any, 6).await.unwrap();
    append(&store, "b-1", Any, 2).await.unwrap();
    let forward = || StreamRead::forward(stream("a-1"));
    for (read, expected) in [
        (forward(), vec![1, 2, 3, 4, 5, 6]),
        (forward().from(0), vec![1, 2, 3, 4, 5, 6]),
        (forward().limit(4), vec![1, 2, 3, 4]),
        (forward().from(3), vec![3, 4, 5, 6]),
        (forward().from(3).limit(2), vec![3, 4]),
        (forward().from(6).limit(9), vec![6]),
    ] {
        let shown = format!("{read:?}");
        assert_eq!(stream_versions(&pages(store.read_stream(read)).await), expected, "{shown}");
    }
}

pub(super) async fn a_stream_is_read_backward_from_a_version(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 5).await.unwrap();
    append(&store, "b-1", Any, 5).await.unwrap();
    let backward = || StreamRead::backward(stream("a-1"));
    for (read, expected) in [
        (backward(), vec![5, 4, 3, 2, 1]),
        (backward().from(u64::MAX), vec![5, 4, 3, 2, 1]),
        (backward().from(3), vec![3, 2, 1]),
        (backward().limit(2), vec![5, 4]),
        (backward().from(4).limit(2).page_size(1), vec![4, 3]),
    ] {
        let shown = format!("{read:?}");
        assert_eq!(stream_versions(&pages(store.read_stream(read)).await), expected, "{shown}");
    }
}

pub(super) async fn the_page_size_does_not_change_what_is_read(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 10).await.unwrap();
    for size in [0, 1, 2, 3, 5, 10, 11, usize::MAX] {
        let read = StreamRead::forward(stream("a-1")).page_size(size);
        let got = pages(store.read_stream(read)).await;
        assert_eq!(stream_versions(&got), (1..=10).collect::<Vec<_>>());
        assert_eq!(got.last().unwrap().through, Version::new(10));
        for page in &got {
            assert!((1..=size.max(1)).contains(&page.events.len()), "{size}: {page:?}");
            assert_eq!(page.through, page.events.last().unwrap().version);
        }
        let got = pages(store.read_log(LogRead::forward().page_size(size))).await;
        assert_eq!(log_positions(&got), (1..=10).collect::<Vec<_>>());
        assert!(got.iter().all(|page| page.events.len() <= size.max(1)));
        assert_eq!(got.last().unwrap().through, Position::new(10));
        let read = LogRead::backward().page_size(size).limit(7);
        let got = pages(store.read_log(read)).await;
        assert_eq!(log_positions(&got), (4..=10).rev().collect::<Vec<_>>());
    }
}

pub(super) async fn the_log_is_read_in_both_directions(fresh: &Fresh<'_>) {
    let store = fresh().await;
    for n in 0..250 {
        append(&store, &format!("s-{}", n * 7 % 20), Any, 1).await.unwrap();
    }
    let all = assert_sound(&store).await;
    let got = pages(store.read_log(LogRead::forward().page_size(100))).await;
    assert_eq!(log_positions(&got), (1..=250).collect::<Vec<_>>());
    for (read, event) in got.iter().flat_map(|page| &page.events).zip(&all) {
        assert_eq!(read, event);
        assert_eq!(event.stream.category(), "s");
    }
    let positions = async |read| log_positions(&pages(store.read_log(read)).await);
    assert_eq!(positions(LogRead::forward().from(101)).await, (101..=250).collect::<Vec<_>>());
    assert_eq!(positions(LogRead::forward().after(Position::new(248))).await, [249, 250]);
    assert_eq!(positions(LogRead::forward().from(7).limit(3)).await, [7, 8, 9]);
    assert_eq!(positions(LogRead::backward()).await, (1..=250).rev().collect::<Vec<_>>());
    assert_eq!(positions(LogRead::backward().from(3)).await, [3, 2, 1]);
    assert_eq!(positions(LogRead::backward().from(300).limit(2)).await, [250, 249]);
}

pub(super) async fn an_empty_read_returns_one_empty_page(fresh: &Fresh<'_>) {
    let store = fresh().await;
    for read in [LogRead::forward(), LogRead::backward(), LogRead::forward().from(5)] {
        let got = pages(store.read_log(read)).await;
        assert!(matches!(got.as_slice(), [page] if page.events.is_empty()), "{got:?}");
    }
    assert_eq!(store.head().await.unwrap(), Position::START);
    append(&store, "a-1", Any, 3).await.unwrap();
    for read in [
        LogRead::forward().from(4),
        LogRead::forward().from(u64::MAX),
        LogRead::backward().from(0),
        LogRead::forward().filter(Filter::stream(stream("b-1"))),
    ] {
        let shown = format!("{read:?}");
        let got = pages(store.read_log(read)).await;
        assert!(matches!(got.as_slice(), [page] if page.events.is_empty()), "{shown}: {got:?}");
    }
}

pub(super) async fn a_dropped_read_releases_its_resources(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 50).await.unwrap();
    for _ in 0..40 {
        let mut all = store.read_log(LogRead::forward().page_size(1));
        let mut one = store.read_stream(StreamRead::forward(stream("a-1")).page_size(1));
        all.next().await.unwrap().unwrap();
        one.next().await.unwrap().unwrap();
    }
    append(&store, "a-1", Any, 1).await.unwrap();
    assert_eq!(assert_sound(&store).await.len(), 51);
}

pub(super) async fn a_read_ends_at_the_head_it_started_with(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 10).await.unwrap();
    let mut all = store.read_log(LogRead::forward().page_size(3));
    let mut one = store.read_stream(StreamRead::forward(stream("a-1")).page_size(3));
    let mut seen = vec![all.next().await.unwrap().unwrap()];
    let mut seen_one = vec![one.next().await.unwrap().unwrap()];
    append(&store, "a-1", Any, 10).await.unwrap();
    seen.extend(pages(all).await);
    seen_one.extend(pages(one).await);
    assert_eq!(log_positions(&seen), (1..=10).collect::<Vec<_>>());
    assert_eq!(seen.last().unwrap().through, Position::new(10));
    assert_eq!(stream_versions(&seen_one), (1..=10).collect::<Vec<_>>());
}

pub(super) async fn filters_select_the_matching_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let conversation = CorrelationId::random();
    for n in 0..60 {
        let name = ["account-1", "account-2", "order-1", "account", "accounts-1"][n % 5];
        let mut new = event(["opened", "paid", "closed"][n % 3]);
        if n % 4 == 0 {
            new = new.with_metadata(Metadata::default().with_correlation_id(conversation));
        }
        store.append(Append::to(stream(name), Any, vec![new])).await.unwrap();
    }
    let category = |name: &str| Category::new(name).unwrap();
    let kind = |name: &str| EventName::new(name).unwrap();
    let filters = [
        Filter::all(),
        Filter::stream(stream("account-2")),
        Filter::stream(stream("account")),
        Filter::category(category("account")),
        Filter::category(category("account")).and_category(category("order")),
        Filter::category(category("nothing")),
        Filter::all().and_type(kind("paid")),
        Filter::all().and_type(kind("paid")).and_type(kind("closed")).and_type(kind("paid")),
        Filter::all().and_type(kind("Paid")),
        Filter::all().and_type(kind("pai%")),
        Filter::category(category("account")).and_type(kind("opened")),
        Filter::stream(stream("order-1")).and_type(kind("closed")),
        Filter::stream(stream("order-1")).and_category(category("account")),
        Filter::correlation(conversation),
        Filter::correlation(conversation).and_type(kind("paid")).and_category(category("order")),
        Filter::correlation(CorrelationId::random()),
    ];
    let all = log(&store).await;
    for filter in filters {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut expected: Vec<_> = all.iter().filter(|e| filter.matches(e)).cloned().collect();
            let mut read = LogRead::forward().page_size(4);
            if direction == Direction::Backward {
                expected.reverse();
                read = LogRead::backward().page_size(4);
            }
            let got = pages(store.read_log(read.clone().filter(filter.clone()))).await;
            let got: Vec<_> = got.into_iter().flat_map(|page| page.events).collect();
            assert_eq!(got, expected, "{filter:?} {direction:?}");

            let expected: Vec<_> = match direction {
                Direction::Forward => expected.iter().filter(|e| e.position.get() >= 20).collect(),
                Direction::Backward => expected.iter().filter(|e| e.position.get() <= 20).collect(),
            };
            let read = read.filter(filter.clone()).from(20).limit(3);
            let got = pages(store.read_log(read)).await;
            let got: Vec<_> = got.iter().flat_map(|page| &page.events).collect();
            assert_eq!(got, expected[..expected.len().min(3)], "{filter:?} {direction:?} from 20");
        }
    }
}

pub(super) async fn a_correlation_id_selects_events_across_streams(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let talk = CorrelationId::random();
    for n in 0..12 {
        let mut new = events(2);
        if n % 3 == 0 {
            let metadata = Metadata::default().with_correlation_id(talk);
            new = new.into_iter().map(|e| e.with_metadata(metadata.clone())).collect();
        }
        store.append(Append::to(stream(&format!("s-{}", n % 5)), Any, new)).await.unwrap();
    }
    let read = LogRead::forward().filter(Filter::correlation(talk));
    let got = pages(store.read_log(read)).await;
    assert_eq!(log_positions(&got), [1, 2, 7, 8, 13, 14, 19, 20]);
}

pub(super) async fn a_filtered_read_ends_at_the_head(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "rare-1", Any, 3).await.unwrap();
    append(&store, "busy-1", Any, 40).await.unwrap();
    let rare = || Filter::category(Category::new("rare").unwrap());
    for size in [1, 2, 3, 100] {
        let read = LogRead::forward().filter(rare()).page_size(size);
        let got = pages(store.read_log(read)).await;
        assert_eq!(log_positions(&got), [1, 2, 3]);
        assert_eq!(got.last().unwrap().through, Position::new(43), "page size {size}");
        // Each page's cursor includes its own events and none of the later pages.
        let mut before = Position::START;
        for page in &got {
            assert!(page.through >= before);
            for event in &page.events {
                assert!(event.position > before && event.position <= page.through);
            }
            before = page.through;
        }
    }
    // If the limit ends the read, the cursor is the last event.
    let read = LogRead::forward().filter(rare()).limit(2);
    assert_eq!(pages(store.read_log(read)).await.last().unwrap().through, Position::new(2));
    let read = LogRead::forward().limit(5);
    assert_eq!(pages(store.read_log(read)).await.last().unwrap().through, Position::new(5));
    // After the last match, one empty page reports the head.
    let read = LogRead::forward().filter(rare()).after(Position::new(3));
    let got = pages(store.read_log(read)).await;
    assert!(matches!(got.as_slice(), [page] if page.events.is_empty() && page.through.get() == 43));
}
