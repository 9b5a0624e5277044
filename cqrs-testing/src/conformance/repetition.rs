//! Repeated appends and commands.

use std::time::Duration;

use cqrs_core::{
    CommandId, Position, Timestamp, Version,
    event::Payload,
    store::{Append, AppendError, CommandKey},
};

use super::fixtures::{
    Any, Fresh, NoStream, append, assert_sound, conflict, events, exact, log, read, stream,
    versions,
};

pub(super) async fn a_repeated_append_returns_the_first_outcome(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "acc-1", Any, 3).await.unwrap();
    let again = Append::to(stream("acc-1"), exact(3), events(2));
    let first = store.append(again.clone()).await.unwrap();
    assert!(!first.repeated);
    // Other appends succeed in the meantime, including one to this stream.
    append(&store, "acc-1", Any, 2).await.unwrap();
    append(&store, "acc-2", Any, 1).await.unwrap();
    for _ in 0..2 {
        let second = store.append(again.clone()).await.unwrap();
        assert!(second.repeated);
        assert_eq!(second.streams, first.streams);
        assert_eq!(second.recorded_at, first.recorded_at);
    }
    // Only the ids count, not the expected version.
    let mut other = again;
    other.streams[0].expected = NoStream;
    assert!(store.append(other).await.unwrap().repeated);
    assert_eq!(assert_sound(&store).await.len(), 8);
}

pub(super) async fn a_repeated_append_to_several_streams_returns_the_first_outcome(
    fresh: &Fresh<'_>,
) {
    let store = fresh().await;
    append(&store, "c-1", Any, 2).await.unwrap();
    let again = Append::to(stream("b-1"), NoStream, events(2))
        .and_to(stream("c-1"), exact(2), vec![])
        .and_to(stream("a-1"), NoStream, events(3));
    let first = store.append(again.clone()).await.unwrap();
    append(&store, "c-1", Any, 1).await.unwrap();
    let second = store.append(again).await.unwrap();
    assert!(second.repeated);
    for n in [0, 2] {
        assert_eq!(second.streams[n], first.streams[n]);
    }
    assert_eq!(assert_sound(&store).await.len(), 8);
}

pub(super) async fn an_event_id_in_another_append_is_a_duplicate(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let stored = events(3);
    store.append(Append::to(stream("a-1"), Any, stored.clone())).await.unwrap();
    append(&store, "a-1", Any, 1).await.unwrap();
    append(&store, "b-1", Any, 1).await.unwrap();
    let [one, two, three] = stored.as_slice() else { panic!("expected three events") };
    let new = events(1).remove(0);
    let to = |name: &str, parts: &[&cqrs_core::event::NewEvent]| {
        Append::to(stream(name), Any, parts.iter().map(|event| (*event).clone()).collect())
    };
    for (what, append) in [
        ("another stream", to("b-1", &[one])),
        ("a new stream", to("c-1", &[one, two, three])),
        ("another order", to("a-1", &[two, one, three])),
        ("followed by a new one", to("a-1", &[three, &new])),
        ("after a new one", to("a-1", &[&new, one])),
        ("not adjacent", to("a-1", &[one, three])),
        (
            "split over streams",
            to("a-1", &[one, two]).and_to(stream("b-1"), Any, vec![three.clone()]),
        ),
        (
            "with a new one in another stream",
            to("a-1", &[one, two, three]).and_to(stream("b-1"), Any, vec![new.clone()]),
        ),
    ] {
        let result = store.append(append).await;
        let Err(AppendError::DuplicateEvent { id, stream: at }) = result else {
            panic!("{what}: {result:?}")
        };
        assert!(stored.iter().any(|event| event.id == id), "{what}");
        assert_eq!(at, stream("a-1"), "{what}");
    }
    assert_eq!(assert_sound(&store).await.len(), 5);
}

pub(super) async fn new_event_ids_make_a_new_append(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", exact(0), 2).await.unwrap();
    conflict(append(&store, "a-1", exact(0), 2).await);
    assert_eq!(assert_sound(&store).await.len(), 2);
}

fn command(id: CommandId, content: &str) -> CommandKey {
    CommandKey::new(id, &stream("a-1"), &Payload::encode(content).unwrap())
}

pub(super) async fn a_repeated_command_returns_the_first_outcome(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 1).await.unwrap();
    let key = command(CommandId::random(), "deposit");
    // Each decision has other ids, another expected version and other events.
    let decide =
        |expected, count| Append::to(stream("a-1"), expected, events(count)).with_command(key);
    let first = store.append(decide(exact(1), 2)).await.unwrap();
    append(&store, "a-1", Any, 1).await.unwrap();
    for (expected, count) in [(exact(1), 2), (NoStream, 5), (Any, 1), (Any, 0)] {
        let second = store.append(decide(expected, count)).await.unwrap();
        assert!(second.repeated);
        assert_eq!(
            (second.streams, second.recorded_at),
            (first.streams.clone(), first.recorded_at)
        );
    }
    assert_eq!(assert_sound(&store).await.len(), 4);
}

pub(super) async fn a_command_without_events_is_recorded(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 3).await.unwrap();
    let key = command(CommandId::random(), "close");
    let nothing = Append::to(stream("a-1"), exact(3), vec![]).with_command(key);
    let first = store.append(nothing).await.unwrap();
    assert!(!first.repeated);
    assert_eq!((first.version(), first.position()), (Version::new(3), Position::START));
    append(&store, "a-1", Any, 1).await.unwrap();
    let again = Append::to(stream("a-1"), exact(4), events(1)).with_command(key);
    let second = store.append(again).await.unwrap();
    assert!(second.repeated);
    assert_eq!(second.version(), Version::new(3));
    assert_eq!(assert_sound(&store).await.len(), 4);
}

pub(super) async fn reusing_a_command_id_for_another_command_fails(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let id = CommandId::random();
    let key = command(id, "deposit 1");
    let append = Append::to(stream("a-1"), Any, events(1));
    store.append(append.with_command(key)).await.unwrap();
    for (name, other) in [("a-1", "deposit 2"), ("b-1", "deposit 1")] {
        let content = Payload::encode(other).unwrap();
        let key = CommandKey::new(id, &stream(name), &content);
        // This is checked before the expected version.
        let append = Append::to(stream(name), exact(77), events(1)).with_command(key);
        let result = store.append(append).await;
        assert!(
            matches!(result, Err(AppendError::CommandIdReused { id: reported }) if reported == id),
            "{result:?}"
        );
    }
    assert_eq!(assert_sound(&store).await.len(), 1);
}

pub(super) async fn a_failed_append_records_no_command(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let duplicate = events(1);
    store.append(Append::to(stream("b-1"), Any, duplicate.clone())).await.unwrap();
    let key = command(CommandId::random(), "deposit");
    conflict(store.append(Append::to(stream("a-1"), exact(5), events(1)).with_command(key)).await);
    let result = store.append(Append::to(stream("a-1"), Any, duplicate).with_command(key)).await;
    assert!(matches!(result, Err(AppendError::DuplicateEvent { .. })), "{result:?}");
    assert_eq!(store.find_command(key.id).await.unwrap(), None);
    let append = Append::to(stream("a-1"), NoStream, events(1)).with_command(key);
    assert!(!store.append(append).await.unwrap().repeated);
    assert_eq!(versions(&read(&store, "a-1").await), [1]);
}

pub(super) async fn command_records_are_found_and_forgotten(fresh: &Fresh<'_>) {
    let store = fresh().await;
    assert_eq!(store.find_command(CommandId::random()).await.unwrap(), None);
    assert_eq!(store.forget_commands(Timestamp::MAX).await.unwrap(), 0);
    let mut known = Vec::new();
    for n in 0..3 {
        let key = command(CommandId::random(), &n.to_string());
        let append = Append::to(stream("a-1"), Any, events(2)).with_command(key);
        known.push((key, store.append(append).await.unwrap()));
    }
    for (key, appended) in &known {
        let found = store.find_command(key.id).await.unwrap().unwrap();
        assert_eq!(found.key, *key);
        assert_eq!(found.appended.streams, appended.streams);
        assert_eq!(found.appended.recorded_at, appended.recorded_at);
    }
    let oldest = known[0].1.recorded_at;
    assert_eq!(store.forget_commands(oldest).await.unwrap(), 0, "before, not at");
    let newest = known[2].1.recorded_at.plus(Duration::from_micros(1));
    assert_eq!(store.forget_commands(newest).await.unwrap(), 3);
    assert_eq!(store.find_command(known[0].0.id).await.unwrap(), None);
    assert_eq!(log(&store).await.len(), 6, "the events stay");
    assert_sound(&store).await;
}
