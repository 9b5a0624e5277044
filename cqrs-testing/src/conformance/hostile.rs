//! Hostile input and extreme numbers.

use cqrs_core::{
    Metadata, Position, StreamName, Version,
    event::{EventName, NewEvent, Payload},
    store::{Append, Filter, LogRead, StreamQuery, StreamRead},
};

use super::fixtures::{
    Any, Fresh, NoStream, append, assert_sound, conflict, event, events_of, exact, log, read,
    stream,
};

pub(super) async fn special_characters_in_names_are_data(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let long = format!("long-{}", "x".repeat(2_000));
    let names = [
        "x'; drop table events;--",
        "a%b",
        "a_b",
        "a\\b",
        "\"quoted\",comma",
        "🦀-🦀 e\u{301}",
        "a-b-c-",
        "tab\t-\n\r\u{7f}\u{1b}",
        "A-1",
        "a-1",
        "a-1 ",
        "{a}-[1]",
        "null",
        long.as_str(),
    ];
    for name in names {
        append(&store, name, NoStream, 1).await.unwrap();
        assert_eq!(read(&store, name).await.len(), 1, "{name:.40}");
        assert!(store.stream_info(&stream(name)).await.unwrap().is_some());
        let only = LogRead::forward().filter(Filter::stream(stream(name)));
        let found = events_of(store.read_log(only)).await;
        assert!(matches!(found.as_slice(), [event] if event.stream.as_str() == name), "{name:.40}");
        let listed = store.list_streams(StreamQuery::default().search(name)).await.unwrap();
        assert!(listed.streams.iter().any(|info| info.stream.as_str() == name), "{name:.40}");
    }
    let kept: Vec<_> = assert_sound(&store).await.into_iter().map(|e| e.stream).collect();
    assert_eq!(kept, names.map(stream));
    for invalid in ["", "$all", "a-", &"x".repeat(10_000)] {
        assert!(StreamName::new(invalid).is_err());
    }
}

pub(super) async fn payloads_are_stored_byte_for_byte(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let large = format!("{{\"text\":\"{}\"}}", "long ".repeat(20_000));
    let texts = [
        "{ \"b\" :1,\n\"a\":\t2, \"a\": 3 }",
        "1.000",
        "123456789012345678901234567890",
        "9007199254740993",
        "\"🦀 漢字 e\\u0301 \\ud83e\\udd80 \\\\u0000 \\/\"",
        "null",
        "[]",
        "\"\"",
        large.as_str(),
    ];
    let raw = |text: &str| {
        let payload = Payload::from_json(text.to_owned()).unwrap();
        NewEvent::raw(EventName::new("e").unwrap(), 1, payload)
    };
    store.append(Append::to(stream("a-1"), Any, texts.map(raw).to_vec())).await.unwrap();
    store.append(Append::to(stream("a-2"), Any, vec![raw(texts[4])])).await.unwrap();
    let kept = log(&store).await;
    for (event, text) in kept.iter().zip(texts.into_iter().chain([texts[4]])) {
        assert_eq!(event.event.payload.as_str(), text);
    }
}

pub(super) async fn extreme_numbers_are_accepted(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 3).await.unwrap();
    for expected in [u64::MAX, u64::MAX / 2, 1 << 63, (1 << 63) - 1] {
        assert_eq!(
            conflict(append(&store, "a-1", exact(expected), 1).await).actual,
            Version::new(3)
        );
        let from = StreamRead::forward(stream("a-1")).from(expected);
        assert!(events_of(store.read_stream(from)).await.is_empty());
        let from = StreamRead::backward(stream("a-1")).from(expected).limit(expected);
        assert_eq!(events_of(store.read_stream(from)).await.len(), 3);
        let from = LogRead::forward().after(Position::new(expected));
        assert!(events_of(store.read_log(from)).await.is_empty());
        let all = LogRead::backward().from(expected).limit(expected).page_size(usize::MAX);
        assert_eq!(events_of(store.read_log(all)).await.len(), 3);
        let query = StreamQuery::default().page(expected).page_size(expected);
        assert_eq!(store.list_streams(query).await.unwrap().total, 1);
    }
    assert_sound(&store).await;
}

pub(super) async fn special_characters_in_metadata_and_types_are_data(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let text = "'; drop table events; -- \\ \" 🦀 \u{1} {} %s \\u0000";
    let metadata = Metadata::default().with_actor(text).with_header(text, text);
    let new = event(text).with_metadata(metadata.clone());
    store.append(Append::to(stream("a-1"), Any, vec![new])).await.unwrap();
    let kept = assert_sound(&store).await.remove(0);
    assert_eq!(kept.event.name.as_str(), text);
    assert_eq!(*kept.metadata, metadata);
    let long = "t".repeat(255);
    store.append(Append::to(stream("a-1"), Any, vec![event(&long)])).await.unwrap();
    let only = LogRead::forward().filter(Filter::all().and_type(EventName::new(&long).unwrap()));
    assert_eq!(events_of(store.read_log(only)).await.len(), 1);
}
