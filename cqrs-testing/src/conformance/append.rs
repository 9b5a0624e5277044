//! Appending: versions, positions, expectations, several streams.

use std::sync::Arc;

use cqrs_core::{
    CommandId, CorrelationId, EventId, Metadata, Position, StreamName, Timestamp, Version,
    event::{CausationId, EventName, NewEvent, Payload},
    store::{Append, AppendError, ConflictKind, InvalidAppend},
};

use super::fixtures::{
    Any, Fresh, NoStream, StreamExists, append, assert_sound, conflict, event, events, exact, log,
    positions, read, stream, versions,
};

pub(super) async fn events_are_stored_in_order(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let cart = ["cart.added", "cart.removed", "cart.added"].map(event).to_vec();
    let given: Vec<_> = cart.iter().map(|event| event.id).collect();
    store.append(Append::to(stream("cart-1"), NoStream, cart)).await.unwrap();
    let read = read(&store, "cart-1").await;
    assert_eq!(versions(&read), [1, 2, 3]);
    assert_eq!(read.iter().map(|event| event.id).collect::<Vec<_>>(), given);
    let names: Vec<_> = read.iter().map(|event| event.event.name.as_str()).collect();
    assert_eq!(names, ["cart.added", "cart.removed", "cart.added"]);
    assert_eq!(assert_sound(&store).await, read);
}

pub(super) async fn versions_are_dense_in_each_stream(fresh: &Fresh<'_>) {
    let store = fresh().await;
    for expected in 0..3 {
        append(&store, "a-1", exact(expected), 1).await.unwrap();
    }
    for name in ["b-1", "b-2", "b-1", "b-2"] {
        append(&store, name, Any, 3).await.unwrap();
    }
    let log = assert_sound(&store).await;
    assert_eq!(log.len(), 15);
    assert_eq!(versions(&read(&store, "b-2").await), [1, 2, 3, 4, 5, 6]);
}

pub(super) async fn any_appends_at_the_current_version(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 3).await.unwrap();
    assert_eq!(append(&store, "a-1", Any, 1).await.unwrap().version(), Version::new(4));
    assert_sound(&store).await;
}

pub(super) async fn no_stream_accepts_only_a_missing_stream(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "acc-9", NoStream, 1).await.unwrap();
    let conflict = conflict(append(&store, "acc-9", NoStream, 1).await);
    assert_eq!(conflict.kind(), ConflictKind::StreamExists);
    assert_eq!(assert_sound(&store).await.len(), 1);
}

pub(super) async fn stream_exists_rejects_a_missing_stream(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let missing = conflict(append(&store, "a-1", StreamExists, 1).await);
    assert_eq!(missing.kind(), ConflictKind::StreamNotFound);
    assert_eq!(store.stream_info(&stream("a-1")).await.unwrap(), None, "it was not created");
    append(&store, "a-1", NoStream, 1).await.unwrap();
    append(&store, "a-1", StreamExists, 1).await.unwrap();
    assert_eq!(assert_sound(&store).await.len(), 2);
}

pub(super) async fn exact_accepts_only_that_version(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 3).await.unwrap();
    for wrong in [0, 2, 4, u64::MAX] {
        let conflict = conflict(append(&store, "a-1", exact(wrong), 1).await);
        assert_eq!(conflict.kind(), ConflictKind::WrongExpectedVersion);
        assert_eq!(conflict.actual, Version::new(3));
    }
    assert_eq!(append(&store, "a-1", exact(3), 2).await.unwrap().version(), Version::new(5));
    assert_eq!(assert_sound(&store).await.len(), 5);
}

pub(super) async fn exact_zero_accepts_only_a_missing_stream(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let wrong = conflict(append(&store, "a-1", exact(1), 1).await);
    assert_eq!(wrong.kind(), ConflictKind::WrongExpectedVersion);
    assert_eq!(wrong.actual, Version::ZERO);
    append(&store, "a-1", exact(0), 1).await.unwrap();
    conflict(append(&store, "a-1", exact(0), 1).await);
    assert_eq!(assert_sound(&store).await.len(), 1);
}

pub(super) async fn an_event_keeps_its_id(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let new = events(3);
    let ids: Vec<EventId> = new.iter().map(|event| event.id).collect();
    store.append(Append::to(stream("a-1"), Any, new)).await.unwrap();
    let stored: Vec<_> = log(&store).await.into_iter().map(|event| event.id).collect();
    assert_eq!(stored, ids);
}

pub(super) async fn metadata_is_stored_unchanged(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let full = Metadata::default()
        .with_correlation_id(CorrelationId::random())
        .with_causation_id(CausationId::random())
        .with_command_id(CommandId::random())
        .with_actor("Zoë 🦀")
        .with_header("tenant", "t1")
        .with_header("nested", serde_json::json!({"a": [1, 2.5, null]}));
    let half = Metadata::default().with_correlation_id(CorrelationId::random());
    let given = [full, Metadata::default(), half];
    let new = given.iter().map(|metadata| event("e").with_metadata(metadata.clone())).collect();
    store.append(Append::to(stream("a-1"), Any, new)).await.unwrap();
    let kept: Vec<_> = log(&store).await.iter().map(|event| (*event.metadata).clone()).collect();
    assert_eq!(kept, given);
}

pub(super) async fn recorded_at_is_kept_or_set_by_the_store(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let long_ago: Timestamp = "1999-12-31T23:59:59.123456Z".parse().unwrap();
    for (name, expected) in [("a-1", NoStream), ("a-1", exact(3)), ("a-2", Any)] {
        let new = vec![event("e"), event("e").with_recorded_at(long_ago), event("e")];
        let appended = store.append(Append::to(stream(name), expected, new)).await.unwrap();
        let stored = log(&store).await;
        let times: Vec<_> = stored[stored.len() - 3..].iter().map(|e| e.recorded_at).collect();
        assert_eq!(times, [appended.recorded_at, long_ago, appended.recorded_at]);
        assert!(appended.recorded_at > long_ago);
    }
}

pub(super) async fn an_append_can_hold_thousands_of_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 1).await.unwrap();
    let appended = append(&store, "a-1", exact(1), 8_001).await.unwrap();
    assert_eq!(appended.version(), Version::new(8_002));
    let stored = assert_sound(&store).await;
    for (n, event) in (1..).zip(&stored[1..]) {
        assert_eq!(event.event.payload.decode::<u64>().unwrap(), n);
    }
}

pub(super) async fn an_empty_append_checks_its_expected_version(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "acc-1", Any, 3).await.unwrap();
    for expected in [Any, StreamExists, exact(3)] {
        let appended = append(&store, "acc-1", expected, 0).await.unwrap();
        assert_eq!(appended.version(), Version::new(3));
        assert_eq!(appended.position(), Position::START);
    }
    let nothing = append(&store, "acc-2", NoStream, 0).await.unwrap();
    assert_eq!(nothing.version(), Version::ZERO);
    assert_eq!(store.stream_info(&stream("acc-2")).await.unwrap(), None);
    for expected in [NoStream, exact(2), exact(4)] {
        conflict(append(&store, "acc-1", expected, 0).await);
    }
    assert_eq!(assert_sound(&store).await.len(), 3);
}

pub(super) async fn an_append_reports_versions_and_positions(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "other-1", Any, 4).await.unwrap();
    append(&store, "a-1", Any, 2).await.unwrap();
    let appended = append(&store, "a-1", Any, 3).await.unwrap();
    let [part] = appended.streams.as_slice() else { panic!("one stream: {appended:?}") };
    assert_eq!((&part.stream, part.events), (&stream("a-1"), 3));
    assert_eq!((part.first_version(), part.version), (Some(Version::new(3)), Version::new(5)));
    assert_eq!((part.first_position(), part.position), (Some(Position::new(7)), Position::new(9)));
    assert!(!appended.repeated);
    let last = log(&store).await.pop().unwrap();
    assert_eq!((last.version, last.position), (part.version, part.position));
}

pub(super) async fn a_conflict_reports_the_actual_version(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 5).await.unwrap();
    let conflict = conflict(append(&store, "a-1", exact(3), 1).await);
    assert_eq!(conflict.stream, stream("a-1"));
    assert_eq!((conflict.expected, conflict.actual), (exact(3), Version::new(5)));
}

pub(super) async fn several_streams_are_appended_atomically(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 3).await.unwrap();
    let both = |a, b| {
        let append = Append::to(stream("a-1"), a, events(2));
        append.and_to(stream("b-1"), b, events(1)).and_to(stream("c-1"), NoStream, vec![])
    };
    let first = conflict(store.append(both(exact(2), exact(0))).await);
    assert_eq!(first.stream, stream("a-1"));
    let second = conflict(store.append(both(exact(3), exact(1))).await);
    assert_eq!(second.stream, stream("b-1"));
    assert_eq!(second.actual, Version::ZERO);
    // The conflict of the first stream is reported.
    assert_eq!(conflict(store.append(both(exact(9), exact(9))).await).stream, stream("a-1"));
    assert_eq!(assert_sound(&store).await.len(), 3);
    store.append(both(exact(3), exact(0))).await.unwrap();
    assert_eq!(assert_sound(&store).await.len(), 6);
}

pub(super) async fn positions_follow_the_order_of_streams_in_the_append(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "b-1", Any, 1).await.unwrap();
    let append = Append::to(stream("z-1"), NoStream, events(2))
        .and_to(stream("a-1"), NoStream, events(1))
        .and_to(stream("b-1"), exact(1), events(2));
    let appended = store.append(append).await.unwrap();
    let reported: Vec<_> = appended
        .streams
        .iter()
        .map(|part| (part.stream.as_str().to_owned(), part.version.get(), part.position.get()))
        .collect();
    let expected = [("z-1", 2, 3), ("a-1", 1, 4), ("b-1", 3, 6)];
    assert_eq!(reported, expected.map(|(name, version, at)| (name.to_owned(), version, at)));
    let order: Vec<_> = assert_sound(&store).await.into_iter().map(|event| event.stream).collect();
    assert_eq!(order, ["b-1", "z-1", "z-1", "a-1", "b-1", "b-1"].map(stream));
    assert_eq!(positions(&read(&store, "b-1").await), [1, 5, 6]);
}

pub(super) async fn an_invalid_append_writes_nothing(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 1).await.unwrap();
    let to = |events: Vec<NewEvent>| Append::to(stream("a-1"), Any, events);
    let twice = event("e");
    let mut none = to(vec![]);
    none.streams.clear();
    let zero = NewEvent::raw(EventName::new("e").unwrap(), 0, Payload::encode(&1).unwrap());
    let nul = |metadata| event("e").with_metadata(metadata);
    let bad = [
        none,
        to(events(1)).and_to(stream("a-1"), Any, events(1)),
        to(vec![twice.clone(), twice.clone()]),
        to(vec![twice.clone()]).and_to(stream("b-1"), Any, vec![twice]),
        to(vec![zero]),
        to(vec![nul(Metadata::default().with_actor("a\0b"))]),
        to(vec![event("e"), nul(Metadata::default().with_header("k", "\0"))]),
        to(vec![nul(Metadata::default().with_header("\0", "v"))]),
    ];
    for append in bad {
        let shown = format!("{append:?}");
        let result = store.append(append).await;
        assert!(matches!(result, Err(AppendError::Invalid(_))), "{result:?} for {shown}");
    }
    let repeated = store.append(to(events(1)).and_to(stream("a-1"), Any, events(1))).await;
    assert!(
        matches!(repeated, Err(AppendError::Invalid(InvalidAppend::RepeatedStream { stream: at }))
            if at == StreamName::new("a-1").unwrap())
    );
    assert_eq!(assert_sound(&store).await.len(), 1);
}

pub(super) async fn schema_versions_are_stored_unchanged(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let raw = |version| {
        let metadata = Arc::new(Metadata::default());
        let payload = Payload::encode("x").unwrap();
        NewEvent::raw(EventName::new("e").unwrap(), version, payload).with_metadata(metadata)
    };
    let large = u32::try_from(i32::MAX).unwrap();
    let new = [1, 2, 300, 70_000, large].map(raw).to_vec();
    store.append(Append::to(stream("a-1"), Any, new)).await.unwrap();
    let kept: Vec<_> = log(&store).await.iter().map(|e| e.event.schema_version).collect();
    assert_eq!(kept, [1, 2, 300, 70_000, large]);
}
