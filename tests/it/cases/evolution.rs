//! Old events that current code reads through upcasters.

use std::collections::HashSet;

use super::fresh::{Store, fresh};
use cqrs::{aggregate::*, app::*, event::*, store::*, subscription::*, upcast::*, *};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Amounts in cents, with a reason since version 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paid {
    cents: i64,
    reason: String,
}

impl Event for Paid {
    const TYPES: &'static [EventType] = &[EventType::new("till.paid", 3)];
    fn event_type(&self) -> EventType {
        Self::TYPES[0]
    }
    fn encode(&self) -> Result<Payload, PayloadError> {
        Payload::encode(self)
    }
    fn decode(_: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
        Ok(payload.decode()?)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Till {
    payments: Vec<(i64, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pay {
    till: u32,
    cents: i64,
}

impl Command for Pay {
    type Aggregate = Till;
    fn aggregate_id(&self) -> u32 {
        self.till
    }
}

impl Aggregate for Till {
    const CATEGORY: &'static str = "till";
    type Id = u32;
    type Command = Pay;
    type Event = Paid;
    type Error = std::convert::Infallible;
    fn execute(&self, pay: Pay) -> Result<Vec<Paid>, Self::Error> {
        Ok(vec![Paid { cents: pay.cents, reason: "cash".into() }])
    }
    fn apply(&mut self, paid: &Paid) {
        self.payments.push((paid.cents, paid.reason.clone()));
    }
}

pub fn pay(till: u32, cents: i64) -> Pay {
    Pay { till, cents }
}

pub fn steps() -> upcast::UpcastersBuilder {
    Upcasters::builder()
        .step("till.paid", 1, |mut event| {
            let text = event["amount"].as_str().ok_or("no amount")?.replace('.', "");
            event = json!({ "cents": text.parse::<i64>()? });
            Ok(event)
        })
        .step("till.paid", 2, |mut event| {
            event["reason"] = Value::from("unknown");
            Ok(event)
        })
}

async fn old_events(store: &Store, events: &[(&str, u32, Value)]) {
    let events = events
        .iter()
        .map(|(name, version, json)| {
            let payload = Payload::encode(json).unwrap();
            NewEvent::raw(EventName::new(name).unwrap(), *version, payload)
        })
        .collect();
    let stream = StreamName::new("till-1").unwrap();
    store.append(Append::to(stream, ExpectedVersion::Any, events)).await.unwrap();
}

fn app(store: &Store, upcasters: Upcasters) -> App {
    App::builder(store.clone())
        .upcasters(upcasters)
        .aggregate::<Till>(Persistence::events())
        .build()
        .unwrap()
}

#[tokio::test]
async fn every_reader_sees_the_current_version() {
    let store = fresh().await;
    old_events(
        &store,
        &[
            ("till.paid", 1, json!({"amount": "12.50"})),
            ("till.paid", 2, json!({"cents": 300})),
            ("till.paid", 3, json!({"cents": 7, "reason": "card"})),
        ],
    )
    .await;
    let before = store.read(Read::all()).await.unwrap().collect().await.unwrap();

    let app = app(&store, steps().build().unwrap());
    let till = app.load::<Till>(&1).await.unwrap();
    let expected = [(1_250, "unknown"), (300, "unknown"), (7, "card")]
        .map(|(cents, reason)| (cents, reason.to_owned()));
    assert_eq!(till.state().payments, expected);
    let outcome = app.dispatch(Pay { till: 1, cents: 1 }).await.unwrap();
    assert_eq!(outcome.version, Version::new(4));

    // Directly, by type, and subscribed.
    let typed = Read::all().of::<Paid>();
    let seen = app.store().read_as::<Paid>(typed).await.unwrap().collect().await.unwrap();
    assert_eq!(seen.len(), 4);
    let mut following = app.store().subscribe(SubscriptionOptions::all()).await.unwrap();
    let page = following.next_page().await.unwrap().unwrap();
    assert!(page.iter().all(|event| event.event.schema_version == 3));

    // Stored events are unchanged.
    let after = store.read(Read::all()).await.unwrap().collect().await.unwrap();
    assert_eq!(before[..], after[..3]);
}

#[tokio::test]
async fn missing_and_invalid_upcasters_are_reported_before_any_command() {
    let store = fresh().await;
    let build = |upcasters| {
        App::builder(store.clone())
            .upcasters(upcasters)
            .aggregate::<Till>(Persistence::events())
            .build()
    };
    let gap = Upcasters::builder().step("till.paid", 1, Ok).build().unwrap();
    for (upcasters, from) in [(gap, 2), (Upcasters::default(), 1)] {
        let error = build(upcasters).unwrap_err();
        let BuildError::Upcasters(InvalidUpcasters::Missing { name, from: at, to: 3 }) = &error
        else {
            panic!("{error}")
        };
        assert_eq!((name.as_str(), *at), ("till.paid", from));
    }
    let twice = steps().step("till.paid", 1, Ok).build();
    assert!(matches!(twice, Err(InvalidUpcasters::Repeated { version: 1, .. })));
    let cycle = Upcasters::builder()
        .replace("a", 1, &[("b", 1)], |json, _| Ok(vec![json]))
        .replace("b", 1, &[("a", 1)], |json, _| Ok(vec![json]))
        .build();
    assert!(matches!(cycle, Err(InvalidUpcasters::Circular { .. })));
    assert!(matches!(Upcasters::builder().drop("", 1).build(), Err(InvalidUpcasters::Name(_))));

    let twice = App::builder(store.clone())
        .upcasters(steps().build().unwrap())
        .aggregate::<Till>(Persistence::events())
        .aggregate::<Till>(Persistence::events())
        .build();
    assert!(matches!(twice, Err(BuildError::DuplicateCategory { category: "till" })));
}

#[tokio::test]
async fn upcasters_of_unregistered_aggregates_are_checked_by_the_first_command() {
    let store = fresh().await;
    let app = App::new(store.clone());
    let error = app.dispatch(Pay { till: 1, cents: 1 }).await.unwrap_err();
    assert!(matches!(error, DispatchError::Misconfigured(InvalidUpcasters::Missing { .. })));
    assert!(matches!(app.load::<Till>(&1).await, Err(LoadError::Misconfigured(_))));
    assert_eq!(store.head().await.unwrap(), Position::START);
}

#[tokio::test]
async fn an_event_can_be_upcast_to_two_events_to_another_or_to_none() {
    let store = fresh().await;
    old_events(
        &store,
        &[
            ("till.paid", 3, json!({"cents": 1, "reason": "card"})),
            ("till.paid-twice", 1, json!([10, 20])),
            ("till.debug", 1, json!("noise")),
        ],
    )
    .await;
    let upcasters = steps()
        .replace("till.paid-twice", 1, &[("till.paid", 2), ("till.paid", 3)], |json, event| {
            // The reason of the second part shows that a step has access to the record.
            let reason = event.version.to_string();
            Ok(vec![json!({"cents": json[0]}), json!({"cents": json[1], "reason": reason})])
        })
        .drop("till.debug", 1)
        .build()
        .unwrap();
    let app = app(&store, upcasters);
    let till = app.load::<Till>(&1).await.unwrap();
    let expected = [(1, "card"), (10, "unknown"), (20, "2")];
    assert_eq!(till.state().payments, expected.map(|(cents, text)| (cents, text.to_owned())));
    // The version counts stored events, so that the next append does not conflict.
    assert_eq!(till.version(), Version::new(3));
    for _ in 0..2 {
        app.dispatch(Pay { till: 1, cents: 5 }).await.unwrap();
    }

    // Reading by the current name finds events that are stored under older ones.
    let read = Read::all().of::<Paid>().page_size(1);
    let found = app.store().read_as::<Paid>(read).await.unwrap().collect().await.unwrap();
    assert_eq!(found.iter().map(|e| e.event.cents).collect::<Vec<_>>(), [1, 10, 20, 5, 5]);
    let positions: HashSet<_> = found.iter().map(|event| event.position).collect();
    assert_eq!(positions.len(), 4);
}

#[tokio::test]
async fn a_failing_upcaster_reports_the_event() {
    let store = fresh().await;
    old_events(&store, &[("till.paid", 1, json!({"amount": "a lot"}))]).await;
    let error = app(&store, steps().build().unwrap()).load::<Till>(&1).await.unwrap_err();
    let LoadError::Read { source: ReadError::Decode(error), .. } = error else { panic!("{error}") };
    assert!(matches!(error.failure, DecodeFailure::Upcast(_)));
    assert_eq!((error.version, error.schema_version), (Version::new(1), 1));

    // A step that returns the wrong number of values fails, too.
    let store = fresh().await;
    old_events(&store, &[("till.paid", 1, json!({}))]).await;
    let wrong = Upcasters::builder()
        .replace("till.paid", 1, &[("till.paid", 2)], |_, _| Ok(vec![]))
        .step("till.paid", 2, Ok)
        .build()
        .unwrap();
    let error = app(&store, wrong).load::<Till>(&1).await.unwrap_err();
    assert!(matches!(error, LoadError::Read { source: ReadError::Decode(_), .. }));
}

#[tokio::test]
async fn only_the_selected_part_of_a_split_event_is_read() {
    let store = fresh().await;
    old_events(&store, &[("till.moved", 1, json!({})), ("till.other", 1, json!({}))]).await;
    let upcasters = Upcasters::builder()
        .replace("till.moved", 1, &[("till.out", 1), ("till.in", 1)], |json, _| {
            Ok(vec![json.clone(), json])
        })
        .build()
        .unwrap();
    let store = Upcasting::new(store, upcasters);
    let names = async |filter| {
        let events = store.read(Read::filter(filter)).await.unwrap().collect().await.unwrap();
        events.into_iter().map(|event| event.event.name.to_string()).collect::<Vec<_>>()
    };
    let only = |name| Filter::all().and_type(EventName::new(name).unwrap());
    assert_eq!(names(only("till.in")).await, ["till.in"]);
    assert_eq!(names(only("till.moved")).await, Vec::<String>::new());
    assert_eq!(names(Filter::all()).await, ["till.out", "till.in", "till.other"]);
}
