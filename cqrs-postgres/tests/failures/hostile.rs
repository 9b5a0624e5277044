//! A batch that contains an invalid append.

use std::time::Duration;

use cluster::Database;
use cqrs_core::{
    CommandId, EventStore, ExpectedVersion, StreamName, Version,
    event::{EventName, NewEvent, Payload, PayloadError},
    store::{Append, AppendError, CommandKey, InvalidAppend},
};
use cqrs_testing::eventually;

use crate::{all, one, run, session, store_in};

/// A payload that was never checked, as a faulty wrapper would pass it.
fn unchecked(json: impl Into<Vec<u8>>) -> Append {
    let payload = Payload::from_stored(json.into());
    let event = NewEvent::raw(EventName::new("test.hostile").unwrap(), 1, payload);
    Append::to(StreamName::new("hostile-1").unwrap(), ExpectedVersion::Any, vec![event])
}

#[tokio::test]
async fn an_invalid_append_does_not_fail_the_rest_of_its_batch() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    let taken = one("taken-1");
    store.append(taken.clone()).await.unwrap();
    let content = |n: u8| Payload::encode(&n).unwrap();
    let stream = StreamName::new("taken-1").unwrap();
    let id = CommandId::random();
    let used = CommandKey::new(id, &stream, &content(1));
    store.append(one("used-1").with_command(used)).await.unwrap();
    let mut zero = one("zero-1");
    zero.streams[0].events[0].schema_version = 0;

    type Check = fn(&AppendError) -> bool;
    let payload: Check = |error| matches!(error, AppendError::Invalid(InvalidAppend::Payload(_)));
    let hostile: Vec<(&str, Append, Check)> = vec![
        ("broken", unchecked("{\"a\":"), payload),
        ("no text", unchecked(vec![b'"', 0xff, b'"']), payload),
        ("NUL", unchecked("\"\\u0000\""), |error| {
            // The database would store it as json and fail to convert it to text.
            matches!(error, AppendError::Invalid(InvalidAppend::Payload(PayloadError::Nul)))
        }),
        ("100,000 brackets", unchecked("[".repeat(100_000)), payload),
        ("too large", unchecked(format!("\"{}\"", "x".repeat(5 << 20))), payload),
        (
            "conflict",
            Append::to(stream.clone(), Version::new(9), vec![NewEvent::json("e", &1).unwrap()]),
            |error| matches!(error, AppendError::Conflict(_)),
        ),
        (
            "duplicate",
            Append::to(
                StreamName::new("elsewhere-1").unwrap(),
                ExpectedVersion::Any,
                taken.streams[0].events.clone(),
            ),
            |error| matches!(error, AppendError::DuplicateEvent { .. }),
        ),
        ("command", one("b-1").with_command(CommandKey::new(id, &stream, &content(2))), |error| {
            matches!(error, AppendError::CommandIdReused { .. })
        }),
        ("schema version", zero, |error| {
            matches!(error, AppendError::Invalid(InvalidAppend::SchemaVersion { .. }))
        }),
    ];
    assert!(StreamName::new("x".repeat(10_000)).is_err(), "such a name cannot be constructed");

    for (what, append, is_right) in hostile {
        let before = all(&store).await.len();
        let mut holder = session(&database).await;
        let lock = "begin; select pg_advisory_xact_lock(hashtextextended('\"cqrs\".append', 0))";
        run(&mut holder, lock).await;
        let start = |append: Append| {
            let store = store.clone();
            tokio::spawn(async move { store.append(append).await })
        };
        let first = start(one("first-1"));
        let waiting = tokio::sync::Mutex::new(&mut holder);
        eventually(Duration::from_secs(10), || async {
            let query = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
            let count: i64 =
                sqlx::query_scalar(query).fetch_one(&mut **waiting.lock().await).await.unwrap();
            if count > 0 { Ok(()) } else { Err("no transaction waits for the lock") }
        })
        .await;
        // Appends that are queued now share a batch.
        let good: Vec<_> = (0..5).map(|n| start(one(&format!("good-{n}")))).collect();
        let bad = start(append);
        let more: Vec<_> = (5..10).map(|n| start(one(&format!("good-{n}")))).collect();
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        run(&mut holder, "rollback").await;
        first.await.unwrap().unwrap();
        for append in good.into_iter().chain(more) {
            append.await.unwrap().unwrap();
        }
        let rejected = bad.await.unwrap().unwrap_err();
        assert!(is_right(&rejected), "{what}: {rejected:?}");
        let log = all(&store).await;
        assert_eq!(log.len(), before + 11, "{what}");
        assert!((1..).zip(&log).all(|(position, event)| event.position.get() == position));
    }
}
