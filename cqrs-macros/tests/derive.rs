//! What the derives write and read, compared with the same by hand.

#![allow(clippy::unwrap_used, missing_docs)]

use cqrs_core::{
    Aggregate, Command, Event, StreamName,
    event::{DecodeFailure, EventType, Payload, PayloadError},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
struct Money(i64);

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
struct Extra {
    note: Option<String>,
}

#[derive(Debug, PartialEq, Event)]
#[event(crate = cqrs_core)]
enum Everything {
    #[event(name = "t.unit")]
    Unit,
    #[event(name = "t.empty")]
    Empty {},
    #[event(name = "t.none")]
    None(),
    #[event(name = "t.one")]
    One(Money),
    #[event(name = "t.two")]
    Two(Money, String),
    #[event(name = "t.named", version = 3)]
    Named { amount: Money, owner: String },
    #[event(name = "t.attributes")]
    #[serde(rename_all = "camelCase")]
    Attributes {
        plain_name: u8,
        #[serde(rename = "other")]
        renamed: u8,
        #[serde(default)]
        added_later: u8,
        #[serde(skip)]
        skipped: u8,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        maybe: Option<u8>,
        #[serde(with = "as_text")]
        large: u64,
        #[serde(flatten)]
        extra: Extra,
    },
    #[event(name = "t.one-with")]
    OneWith(#[serde(with = "as_text")] u64),
    #[event(name = "t.raw")]
    r#Raw { r#type: u8 },
}

fn there_and_back(event: &Everything, json: &str) {
    let payload = event.encode().unwrap();
    assert_eq!(payload.as_str(), json);
    assert_eq!(&Everything::decode(event.event_type().name(), &payload).unwrap(), event);
}

fn read(name: &str, json: &str) -> Result<Everything, DecodeFailure> {
    Everything::decode(name, &Payload::from_json(json.to_owned()).unwrap())
}

#[test]
fn each_shape_of_content_there_and_back() {
    there_and_back(&Everything::Unit, "null");
    there_and_back(&Everything::Empty {}, "{}");
    there_and_back(&Everything::None(), "[]");
    there_and_back(&Everything::One(Money(5)), "5");
    there_and_back(&Everything::Two(Money(5), "a".into()), r#"[5,"a"]"#);
    let named = Everything::Named { amount: Money(5), owner: "Zoë 🦀".into() };
    there_and_back(&named, r#"{"amount":5,"owner":"Zoë 🦀"}"#);
    there_and_back(&Everything::OneWith(u64::MAX), r#""18446744073709551615""#);
    there_and_back(&Everything::Raw { r#type: 1 }, r#"{"type":1}"#);
}

#[test]
fn serde_attributes_work_as_in_serde() {
    let event = Everything::Attributes {
        plain_name: 1,
        renamed: 2,
        added_later: 3,
        skipped: 0,
        maybe: None,
        large: 4,
        extra: Extra { note: Some("n".into()) },
    };
    there_and_back(&event, r#"{"plainName":1,"other":2,"addedLater":3,"large":"4","note":"n"}"#);
    let old = read("t.attributes", r#"{"plainName":1,"other":2,"large":"4","gone":true}"#).unwrap();
    assert!(matches!(old, Everything::Attributes { added_later: 0, maybe: None, .. }));
}

#[test]
fn names_and_versions_are_those_given_and_not_rusts() {
    let types: Vec<_> = Everything::TYPES.iter().map(ToString::to_string).collect();
    let given = [
        "t.unit v1",
        "t.empty v1",
        "t.none v1",
        "t.one v1",
        "t.two v1",
        "t.named v3",
        "t.attributes v1",
        "t.one-with v1",
        "t.raw v1",
    ];
    assert_eq!(types, given);
    let named = Everything::Named { amount: Money(1), owner: String::new() };
    assert_eq!(named.event_type(), EventType::new("t.named", 3));
}

#[test]
fn unknown_names_and_other_shapes_are_errors() {
    assert!(matches!(read("t.nothing", "null"), Err(DecodeFailure::UnknownType)));
    assert!(matches!(read("t.one", r#""text""#), Err(DecodeFailure::Malformed(_))));
    assert!(matches!(read("t.two", "[5]"), Err(DecodeFailure::Malformed(_))));
    assert!(matches!(read("t.named", "{}"), Err(DecodeFailure::Malformed(_))));
    // A variant that had fields once, or will have.
    assert_eq!(read("t.unit", r#"{"later":1}"#).unwrap(), Everything::Unit);
    let broken = Payload::from_stored("{");
    assert!(matches!(Everything::decode("t.unit", &broken), Err(DecodeFailure::Malformed(_))));
}

#[derive(Debug, PartialEq, Event)]
#[event(crate = cqrs_core, name = "t.struct", version = 2)]
struct Alone {
    amount: Money,
}

#[derive(Debug, PartialEq, Event)]
#[event(crate = cqrs_core)]
enum Union {
    #[event(transparent)]
    Everything(Everything),
    #[event(name = "t.own")]
    Own(u8),
    #[event(transparent)]
    Alone(Alone),
}

#[test]
fn a_union_holds_the_types_of_its_parts() {
    let names: Vec<_> = Union::TYPES.iter().map(|known| known.name()).collect();
    assert_eq!(names.len(), Everything::TYPES.len() + 2);
    assert_eq!(names[names.len() - 2..], ["t.own", "t.struct"]);
    for (event, json) in [
        (Union::Everything(Everything::One(Money(1))), "1"),
        (Union::Own(7), "7"),
        (Union::Alone(Alone { amount: Money(2) }), r#"{"amount":2}"#),
    ] {
        let payload = event.encode().unwrap();
        assert_eq!(payload.as_str(), json);
        assert_eq!(Union::decode(event.event_type().name(), &payload).unwrap(), event);
    }
    assert_eq!(
        Union::Alone(Alone { amount: Money(2) }).event_type(),
        EventType::new("t.struct", 2)
    );
    let nothing = Union::decode("t.nothing", &Payload::encode(&1).unwrap());
    assert!(matches!(nothing, Err(DecodeFailure::UnknownType)));
}

/// The twin of [`Alone`], by hand.
#[derive(Serialize, Deserialize)]
struct ByHand {
    amount: Money,
}

impl Event for ByHand {
    const TYPES: &'static [EventType] = &[EventType::new("t.struct", 2)];
    fn event_type(&self) -> EventType {
        EventType::new("t.struct", 2)
    }
    fn encode(&self) -> Result<Payload, PayloadError> {
        Payload::encode(self)
    }
    fn decode(name: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
        match name {
            "t.struct" => Ok(payload.decode()?),
            _ => Err(DecodeFailure::UnknownType),
        }
    }
}

#[test]
fn the_derive_writes_what_a_person_would() {
    let (derived, by_hand) = (Alone { amount: Money(9) }, ByHand { amount: Money(9) });
    assert_eq!(derived.encode().unwrap(), by_hand.encode().unwrap());
    assert_eq!(Alone::TYPES, ByHand::TYPES);
}

#[derive(Default)]
struct Account;

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Account, id = account_id)]
struct Open {
    account_id: String,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Account, id = id)]
struct Close {
    id: String,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Account)]
enum AccountCommand {
    Open(Open),
    Close(Close),
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = AccountCommand;
    type Event = Alone;
    type Error = std::convert::Infallible;
    fn execute(&self, _: AccountCommand) -> Result<Vec<Alone>, Self::Error> {
        Ok(Vec::new())
    }
    fn apply(&mut self, _: &Alone) {}
}

fn destination<C: Command<Aggregate = Account>>(command: &C) -> StreamName {
    StreamName::of(<C::Aggregate as Aggregate>::CATEGORY, &command.aggregate_id()).unwrap()
}

#[test]
fn a_command_and_the_enum_around_it_have_one_destination() {
    let (open, close) = (Open { account_id: "7".into() }, Close { id: "8".into() });
    assert_eq!(destination(&open).as_str(), "account-7");
    assert_eq!(destination(&AccountCommand::from(open)).as_str(), "account-7");
    assert_eq!(destination(&AccountCommand::from(close)).as_str(), "account-8");
}
