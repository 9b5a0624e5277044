//! Read models over events of earlier versions.

use std::sync::Arc;

use cqrs::{
    App, Event, EventStore, ExpectedVersion, Position, Projections, Projector, ReadModel, Recorded,
    Upcasters,
    event::{DecodeFailure, EventName, EventType, NewEvent, Payload, PayloadError},
    projection::{FailurePolicy, ProjectError, ProjectorOptions, ReadStore},
    store::Append,
    upcast::Upcasting,
};
use cqrs_testing::eventually;
use serde_json::json;

use super::{Rows, Tally, WITHIN, caught_up, quick, rows};
use crate::tally::{ByDigit, Knobs, account, add};

/// Splits a stored event into two: 3 added and 1 taken.
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
async fn the_parts_of_a_stored_event_are_projected_together() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    append_old(&store, "test.moved", 5).await;
    append_old(&store, "test.debug", 3).await;
    let last = append_old(&store, "test.moved", 6).await;
    // Position 9 fails; the later events of its account are parked too.
    knobs.fail(9);
    let running = Projections::builder_over(Upcasting::new(store.clone(), steps()), read.clone())
        .projector_with(<Tally>::with(&knobs), quick(FailurePolicy::park()).batch(3))
        .start()
        .await
        .unwrap();
    caught_up(&running, "accounts", last).await;
    let row = rows(&read, "accounts").await["account-0"];
    assert_eq!((row.count, row.sum), (10, 10));
    let parked = running.parked("accounts").await.unwrap();
    let positions: Vec<_> = parked.iter().map(|parked| parked.position.get()).collect();
    assert_eq!(positions, [9, 10, 11, 12, 13, 14]);
    let batches = knobs.batches.lock().unwrap().clone();
    assert!(batches.iter().all(|events| events % 2 == 0), "a stored event was split: {batches:?}");

    knobs.repair();
    running.retry_parked("accounts", None).await.unwrap();
    eventually(WITHIN, || async {
        let left = running.parked("accounts").await.unwrap().len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    // An event of the current version is parked as well.
    let last = add(&store, 0, 5).await;
    caught_up(&running, "accounts", last).await;
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
    caught_up(&running, "by_digit", last).await;
    let rows = rows(&read, "by_digit").await;
    let count = |digit: &str| rows.get(digit).map_or(0, |row| row.count);
    // 28 stored events in two parts each, of which one ends in 3 and one in 1.
    assert_eq!((count("digit-3"), count("digit-1")), (28 + 1, 28 + 1));
    assert_eq!(rows.values().map(|row| row.count).sum::<i64>(), 2 * 28 + 7);
}

/// An event type whose first version needs an upcaster.
struct Renamed;

impl Event for Renamed {
    const TYPES: &'static [EventType] = &[EventType::new("test.renamed", 2)];

    fn event_type(&self) -> EventType {
        Self::TYPES[0]
    }

    fn encode(&self) -> Result<Payload, PayloadError> {
        Payload::encode(&())
    }

    fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> {
        Ok(Self)
    }
}

struct Renames;

impl ReadModel for Renames {
    type Event = Renamed;
    const NAME: &'static str = "renames";
    const VERSION: u32 = 1;
}

impl<S: ReadStore> Projector<S> for Renames {
    async fn create(&self, _: &mut S::Transaction) -> Result<(), ProjectError> {
        Ok(())
    }

    async fn project(
        &self,
        _: &mut S::Transaction,
        _: &Recorded<Renamed>,
    ) -> Result<(), ProjectError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upcaster_that_the_app_lacks_is_an_error_at_start() {
    let (store, read) = super::fresh::stores().await;
    let start = |app: App| Projections::builder(&app, read.clone()).projector(Renames).start();
    let error = start(App::new(store.clone())).await.unwrap_err();
    assert_eq!(
        cqrs::error_chain(&error),
        "projector `renames` cannot read earlier versions of its events: \
         no upcaster from test.renamed v1; the current version is v2"
    );
    let upcasters = Upcasters::builder().step("test.renamed", 1, Ok).build().unwrap();
    start(App::builder(store).upcasters(upcasters).build().unwrap()).await.unwrap();
}
