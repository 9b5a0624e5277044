//! Information about streams, and their list.

use cqrs_core::{
    Position, Timestamp, Version,
    store::{Append, Direction, StreamListing, StreamOrder, StreamQuery},
};

use super::fixtures::{Any, Fresh, TestStore, append, event, stream};

pub(super) async fn stream_info_reports_version_position_and_times(fresh: &Fresh<'_>) {
    let store = fresh().await;
    assert_eq!(store.stream_info(&stream("a-1")).await.unwrap(), None);
    let (long_ago, later): (Timestamp, Timestamp) =
        ("2001-01-01T00:00:00Z".parse().unwrap(), "2002-01-01T00:00:00Z".parse().unwrap());
    let dated = |moment| vec![event("e").with_recorded_at(moment)];
    store.append(Append::to(stream("a-1"), Any, dated(long_ago))).await.unwrap();
    append(&store, "b-1", Any, 2).await.unwrap();
    store.append(Append::to(stream("a-1"), Any, dated(later))).await.unwrap();
    let info = store.stream_info(&stream("a-1")).await.unwrap().unwrap();
    assert_eq!(info.stream, stream("a-1"));
    assert_eq!((info.version, info.position), (Version::new(2), Position::new(4)));
    assert_eq!((info.created_at, info.updated_at), (long_ago, later));
}

fn names(listing: &StreamListing) -> Vec<&str> {
    listing.streams.iter().map(|info| info.stream.as_str()).collect()
}

pub(super) async fn streams_are_listed(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let empty = store.list_streams(StreamQuery::default()).await.unwrap();
    assert_eq!((names(&empty), empty.total), (vec![], 0));

    // The order of creation differs from the order of sizes and that of the newest events.
    let years =
        [("b-2", "2003"), ("a-1", "2001"), ("B-1", "2004"), ("a-10", "2002"), ("a_%", "2005")];
    for (n, (name, year)) in years.iter().enumerate() {
        let moment = format!("{year}-01-01T00:00:00Z").parse().unwrap();
        let first = vec![event("e").with_recorded_at(moment)];
        store.append(Append::to(stream(name), Any, first)).await.unwrap();
        append(&store, name, Any, n as u64 % 4).await.unwrap();
    }
    append(&store, "a-1", Any, 5).await.unwrap();
    assert_sorted(&store).await;
    assert_searched(&store).await;
    assert_paged(&store).await;
}

async fn assert_sorted(store: &TestStore) {
    use Direction::{Backward, Forward};
    use StreamOrder::{CreatedAt, Name, Position, Version};
    let by = |order, direction| StreamQuery::default().order(order, direction);
    for (query, expected) in [
        // Byte by byte, so capitals come first; ties are sorted by name.
        (StreamQuery::default(), ["B-1", "a-1", "a-10", "a_%", "b-2"]),
        (by(Name, Backward), ["b-2", "a_%", "a-10", "a-1", "B-1"]),
        (by(CreatedAt, Forward), ["a-1", "a-10", "b-2", "B-1", "a_%"]),
        (by(CreatedAt, Backward), ["a_%", "B-1", "b-2", "a-10", "a-1"]),
        (by(Version, Forward), ["a_%", "b-2", "B-1", "a-10", "a-1"]),
        (by(Version, Backward), ["a-1", "a-10", "B-1", "a_%", "b-2"]),
        (by(Position, Forward), ["b-2", "B-1", "a-10", "a_%", "a-1"]),
        (by(Position, Backward), ["a-1", "a_%", "a-10", "B-1", "b-2"]),
    ] {
        let listing = store.list_streams(query.clone()).await.unwrap();
        assert_eq!(names(&listing), expected, "{query:?}");
        assert_eq!(listing.total, 5);
        for info in listing.streams {
            let known = store.stream_info(&info.stream).await.unwrap();
            assert_eq!(known, Some(info), "list_streams and stream_info agree");
        }
    }
}

async fn assert_searched(store: &TestStore) {
    for (search, expected) in [
        ("a-1", vec!["a-1", "a-10"]),
        ("-", vec!["B-1", "a-1", "a-10", "b-2"]),
        ("b", vec!["b-2"]),
        ("%", vec!["a_%"]),
        ("_", vec!["a_%"]),
        ("a%", vec![]),
        ("\\", vec![]),
    ] {
        let listing = store.list_streams(StreamQuery::default().search(search)).await.unwrap();
        assert_eq!(names(&listing), expected, "searching {search}");
        assert_eq!(listing.total, expected.len() as u64);
    }
}

async fn assert_paged(store: &TestStore) {
    for (page, expected) in
        [(1, vec!["B-1", "a-1"]), (2, vec!["a-10", "a_%"]), (3, vec!["b-2"]), (4, vec![])]
    {
        let query = StreamQuery::default().page(page).page_size(2);
        let listing = store.list_streams(query).await.unwrap();
        assert_eq!((names(&listing), listing.total), (expected, 5), "page {page}");
    }
    let last = store.list_streams(StreamQuery::default().page(u64::MAX)).await.unwrap();
    assert_eq!((names(&last), last.total), (vec![], 5));
}

pub(super) async fn the_head_is_the_number_of_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    for expected in [3, 3, 5] {
        append(&store, "a-1", Any, expected).await.unwrap();
    }
    append(&store, "b-1", Any, 0).await.unwrap();
    assert_eq!(store.head().await.unwrap(), Position::new(11));
}
