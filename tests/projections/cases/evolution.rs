//! Read models over events of last year.

use std::sync::Arc;

use cqrs::{
    EventStore, ExpectedVersion, Position, Projections, Upcasters,
    event::{EventName, NewEvent, Payload},
    projection::{FailurePolicy, ProjectorOptions},
    store::Append,
    upcast::Upcasting,
};
use cqrs_testing::eventually;
use serde_json::json;

use super::{Rows, Tally, WITHIN, known, quick, rows};
use crate::tally::{ByDigit, Knobs, account, add};

/// What was once one event is two today: 3 added and 1 taken.
fn steps() -> Upcasters {
    Upcasters::builder()
        .replace("test.moved", 1, &[("test.added", 1), ("test.taken", 1)], |event, _| {
            Ok(vec![json!({"amount": event["added"]}), json!({"amount": event["taken"]})])
        })
        .drop("test.debug", 1)
        .build()
        .unwrap()
}

async fn append_old(store: &impl EventStore, name: &str, count: usize) -> Position {
    let old = || {
        let payload = Payload::encode(&json!({"added": 3, "taken": 1})).unwrap();
        NewEvent::raw(EventName::new(name).unwrap(), 1, payload)
    };
    let events = (0..count).map(|_| old()).collect();
    let append = Append::to(account(0), ExpectedVersion::Any, events);
    store.append(append).await.unwrap().position()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_as_one_event_is_taken_in_as_one() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    append_old(&store, "test.moved", 5).await;
    append_old(&store, "test.debug", 3).await;
    let last = append_old(&store, "test.moved", 6).await;
    // Position 9 fails; the later ones of its account wait behind it.
    knobs.fail(9);
    let running = Projections::builder_over(Upcasting::new(store.clone(), steps()), read.clone())
        .projector_with(<Tally>::with(&knobs), quick(FailurePolicy::park()).batch(3))
        .start()
        .await
        .unwrap();
    known(&running, "accounts", last).await;
    let row = rows(&read, "accounts").await["account-0"];
    assert_eq!((row.count, row.sum), (10, 10));
    let parked = running.parked("accounts").await.unwrap();
    let positions: Vec<_> = parked.iter().map(|parked| parked.position.get()).collect();
    assert_eq!(positions, [9, 10, 11, 12, 13, 14]);
    let batches = knobs.batches.lock().unwrap().clone();
    assert!(batches.iter().all(|events| events % 2 == 0), "cut in two: {batches:?}");

    knobs.mend();
    running.retry_parked("accounts", None).await.unwrap();
    eventually(WITHIN, || async {
        let left = running.parked("accounts").await.unwrap().len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    // Today's event goes the same way.
    let last = add(&store, 0, 5).await;
    known(&running, "accounts", last).await;
    let row = rows(&read, "accounts").await["account-0"];
    assert_eq!((row.count, row.sum), (23, 27));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_one_event_stay_in_one_partition() {
    let (store, read) = super::fresh::stores().await;
    for count in 1..8 {
        append_old(&store, "test.moved", count).await;
        add(&store, 1, i64::try_from(count).unwrap()).await;
    }
    let last = store.head().await.unwrap();
    let options = ProjectorOptions::new().partitions(5).batch(4);
    let running = Projections::builder_over(Upcasting::new(store.clone(), steps()), read.clone())
        .projector_with(ByDigit::<Rows>(std::marker::PhantomData), options)
        .start()
        .await
        .unwrap();
    known(&running, "by_digit", last).await;
    let rows = rows(&read, "by_digit").await;
    let count = |digit: &str| rows.get(digit).map_or(0, |row| row.count);
    // 28 stored events in two parts each, of which one ends in 3 and one in 1.
    assert_eq!((count("digit-3"), count("digit-1")), (28 + 1, 28 + 1));
    assert_eq!(rows.values().map(|row| row.count).sum::<i64>(), 2 * 28 + 7);
}
