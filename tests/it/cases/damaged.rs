//! Events that cannot be decoded, and what they do not affect.

use std::error::Error as _;

use super::fresh::{BROKEN, Store, fresh};
use cqrs::{app::*, event::*, store::*};

use super::ledger::{Ledger, LedgerEvent, put};

async fn damage(store: &Store, name: &str, version: u32, json: &'static str) {
    let stream = StreamName::new("ledger-a").unwrap();
    store.append_events(&stream, ExpectedVersion::Any, &[LedgerEvent::Put(1)]).await.unwrap();
    store.append_events(&stream, ExpectedVersion::Any, &[LedgerEvent::Put(1)]).await.unwrap();
    let payload = Payload::from_stored(json);
    let event = NewEvent::raw(EventName::new(name).unwrap(), version, payload);
    store.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
}

#[tokio::test]
async fn an_event_that_cannot_be_decoded_is_reported_and_affects_one_aggregate() {
    for (name, version, json) in [
        ("ledger.put", 1, BROKEN[0]),
        ("ledger.put", 1, BROKEN[1]),
        ("ledger.put", 1, "\"text\""),
        ("ledger.put", 9, "1"),
        ("ledger.unknown", 1, "1"),
    ] {
        let store = fresh().await;
        let app = App::new(store.clone());
        app.dispatch(put("b", 1)).await.unwrap();
        damage(&store, name, version, json).await;

        let error = app.load::<Ledger>(&"a".into()).await.unwrap_err();
        let LoadError::Read { source: ReadError::Decode(at), .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(at.stream.as_str(), "ledger-a");
        assert_eq!((at.version, at.position), (Version::new(3), Position::new(4)));
        assert_eq!((at.name.as_str(), at.schema_version), (name, version));
        assert!(at.source().is_some());

        let error = app.dispatch(put("a", 1)).await.unwrap_err();
        assert!(
            matches!(error, DispatchError::Read { source: ReadError::Decode(_), .. }),
            "{error}"
        );
        assert_eq!(error.retry(), Retry::Never);
        app.dispatch(put("b", 1)).await.unwrap();
        assert_eq!(store.head().await.unwrap(), Position::new(5));
    }
}

#[tokio::test]
async fn a_decode_error_reports_the_reason() {
    let failure = async |name: &str, version, json| {
        let store = fresh().await;
        damage(&store, name, version, json).await;
        match App::new(store).load::<Ledger>(&"a".into()).await.unwrap_err() {
            LoadError::Read { source: ReadError::Decode(error), .. } => error.failure,
            other => panic!("{other}"),
        }
    };
    assert!(matches!(failure("ledger.put", 1, BROKEN[0]).await, DecodeFailure::Malformed(_)));
    assert!(matches!(failure("ledger.x", 1, "1").await, DecodeFailure::UnknownType));
    let newer = failure("ledger.put", 2, "1").await;
    assert!(matches!(newer, DecodeFailure::Version { expected: 1 }));
}
