//! Compares derived code with the same code written by hand.

#![allow(clippy::unwrap_used, missing_docs)]

use std::borrow::Cow;
use std::collections::HashSet;

use cqrs_core::{
    Aggregate, Command, Event, Id, ReadModel, Recorded, StreamName,
    event::{DecodeFailure, EventType, Payload, PayloadError, Uuid},
    projection::Key,
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

fn check_round_trip(event: &Everything, json: &str) {
    let payload = event.encode().unwrap();
    assert_eq!(payload.as_str(), json);
    assert_eq!(&Everything::decode(event.event_type().name(), &payload).unwrap(), event);
}

fn read(name: &str, json: &str) -> Result<Everything, DecodeFailure> {
    Everything::decode(name, &Payload::from_json(json.to_owned()).unwrap())
}

#[test]
fn each_shape_of_content_is_read_as_it_was_written() {
    check_round_trip(&Everything::Unit, "null");
    check_round_trip(&Everything::Empty {}, "{}");
    check_round_trip(&Everything::None(), "[]");
    check_round_trip(&Everything::One(Money(5)), "5");
    check_round_trip(&Everything::Two(Money(5), "a".into()), r#"[5,"a"]"#);
    let named = Everything::Named { amount: Money(5), owner: "Zoë 🦀".into() };
    check_round_trip(&named, r#"{"amount":5,"owner":"Zoë 🦀"}"#);
    check_round_trip(&Everything::OneWith(u64::MAX), r#""18446744073709551615""#);
    check_round_trip(&Everything::Raw { r#type: 1 }, r#"{"type":1}"#);
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
    check_round_trip(&event, r#"{"plainName":1,"other":2,"addedLater":3,"large":"4","note":"n"}"#);
    let old = read("t.attributes", r#"{"plainName":1,"other":2,"large":"4","gone":true}"#).unwrap();
    assert!(matches!(old, Everything::Attributes { added_later: 0, maybe: None, .. }));
}

#[test]
fn names_and_versions_come_from_the_attributes() {
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
fn unknown_names_and_unexpected_content_are_errors() {
    assert!(matches!(read("t.nothing", "null"), Err(DecodeFailure::UnknownType)));
    assert!(matches!(read("t.one", r#""text""#), Err(DecodeFailure::Malformed(_))));
    assert!(matches!(read("t.two", "[5]"), Err(DecodeFailure::Malformed(_))));
    assert!(matches!(read("t.named", "{}"), Err(DecodeFailure::Malformed(_))));
    // A variant without fields accepts content of a version that has fields.
    assert_eq!(read("t.unit", r#"{"later":1}"#).unwrap(), Everything::Unit);
    let broken = Payload::from_stored("{");
    assert!(matches!(Everything::decode("t.unit", &broken), Err(DecodeFailure::Malformed(_))));
}

#[derive(Debug, PartialEq, Event)]
#[event(crate = cqrs_core, name = "t.struct", version = 2)]
struct Single {
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
    Single(Single),
}

#[test]
fn a_transparent_variant_has_the_types_of_its_event() {
    let names: Vec<_> = Union::TYPES.iter().map(|known| known.name()).collect();
    assert_eq!(names.len(), Everything::TYPES.len() + 2);
    assert_eq!(names[names.len() - 2..], ["t.own", "t.struct"]);
    for (event, json) in [
        (Union::Everything(Everything::One(Money(1))), "1"),
        (Union::Own(7), "7"),
        (Union::Single(Single { amount: Money(2) }), r#"{"amount":2}"#),
    ] {
        let payload = event.encode().unwrap();
        assert_eq!(payload.as_str(), json);
        assert_eq!(Union::decode(event.event_type().name(), &payload).unwrap(), event);
    }
    assert_eq!(
        Union::Single(Single { amount: Money(2) }).event_type(),
        EventType::new("t.struct", 2)
    );
    let nothing = Union::decode("t.nothing", &Payload::encode(&1).unwrap());
    assert!(matches!(nothing, Err(DecodeFailure::UnknownType)));
}

/// The same as [`Single`], written by hand.
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
fn derived_and_handwritten_events_agree() {
    let (derived, by_hand) = (Single { amount: Money(9) }, ByHand { amount: Money(9) });
    assert_eq!(derived.encode().unwrap(), by_hand.encode().unwrap());
    assert_eq!(Single::TYPES, ByHand::TYPES);
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
    type Event = Single;
    type Error = std::convert::Infallible;
    fn execute(&self, _: AccountCommand) -> Result<Vec<Single>, Self::Error> {
        Ok(Vec::new())
    }
    fn apply(&mut self, _: &Single) {}
}

fn stream_of<C: Command<Aggregate = Account>>(command: &C) -> StreamName {
    StreamName::of(<C::Aggregate as Aggregate>::CATEGORY, &command.aggregate_id()).unwrap()
}

#[test]
fn a_command_struct_and_its_enum_have_the_same_stream() {
    let (open, close) = (Open { account_id: "7".into() }, Close { id: "8".into() });
    assert_eq!(stream_of(&open).as_str(), "account-7");
    assert_eq!(stream_of(&AccountCommand::from(open)).as_str(), "account-7");
    assert_eq!(stream_of(&AccountCommand::from(close)).as_str(), "account-8");
}

/// Variants with fields, and one that holds a struct.
#[derive(Clone, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Ledger, id = ledger)]
enum LedgerCommand {
    Open { ledger: LedgerId, owner: String },
    Enter { cents: i64, ledger: LedgerId },
    Close(CloseLedger),
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Ledger, id = ledger)]
struct CloseLedger {
    ledger: LedgerId,
}

#[derive(Default)]
struct Ledger;

impl Aggregate for Ledger {
    const CATEGORY: &'static str = "ledger";
    type Id = LedgerId;
    type Command = LedgerCommand;
    type Event = Single;
    type Error = std::convert::Infallible;
    fn execute(&self, command: LedgerCommand) -> Result<Vec<Single>, Self::Error> {
        Ok(match command {
            LedgerCommand::Open { owner, .. } => vec![Single { amount: Money(owner.len() as i64) }],
            LedgerCommand::Enter { cents, .. } => vec![Single { amount: Money(cents) }],
            LedgerCommand::Close(CloseLedger { .. }) => Vec::new(),
        })
    }
    fn apply(&mut self, _: &Single) {}
}

#[test]
fn a_variant_with_fields_is_a_command() {
    let ledger = LedgerId::new("7").unwrap();
    let open = LedgerCommand::Open { ledger: ledger.clone(), owner: "alice".into() };
    let enter = LedgerCommand::Enter { cents: 5, ledger: ledger.clone() };
    let close = LedgerCommand::from(CloseLedger { ledger: ledger.clone() });
    for command in [open, enter, close] {
        assert_eq!(command.aggregate_id(), ledger);
        let stream = StreamName::of(Ledger::CATEGORY, &command.aggregate_id()).unwrap();
        assert_eq!(stream.as_str(), "ledger-7");
    }
}

#[derive(Id)]
#[id(crate = cqrs_core)]
struct LedgerId(String);

/// The same as [`LedgerId`], written by hand as far as the test compares them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
struct TextByHand(String);

#[test]
fn derived_and_handwritten_text_ids_agree() {
    for text in ["alice", "a-b c", "$all", "🦀"] {
        let (derived, by_hand) = (LedgerId::new(text).unwrap(), TextByHand(text.into()));
        assert_eq!(derived.to_string(), text);
        assert_eq!(derived.as_str(), text);
        assert_eq!(format!("[{derived:>6}]"), format!("[{text:>6}]"));
        assert_eq!(
            format!("{derived:?}"),
            format!("{by_hand:?}").replace("TextByHand", "LedgerId")
        );
        let json = serde_json::to_string(&by_hand).unwrap();
        assert_eq!(serde_json::to_string(&derived).unwrap(), json);
        assert_eq!(serde_json::from_str::<LedgerId>(&json).unwrap(), derived);
        assert_eq!(text.parse::<LedgerId>().unwrap(), derived);
        assert_eq!(LedgerId::try_from(text.to_owned()).unwrap(), derived);
        assert_eq!(String::from(derived.clone()), text);
        assert!(HashSet::from([derived]).contains(text));
    }
    assert!(LedgerId::new("a").unwrap() < LedgerId::new("b").unwrap());
}

#[test]
fn a_text_id_that_no_stream_name_can_contain_is_rejected() {
    let longest = "x".repeat(1_792);
    let longest_category = "c".repeat(255);
    let stream = StreamName::of(&longest_category, &LedgerId::new(&*longest).unwrap()).unwrap();
    assert_eq!(stream.as_str().len(), cqrs_core::store::MAX_STREAM_NAME_BYTES);

    for (text, reason) in [
        ("", "LedgerId is empty"),
        ("a\0", "LedgerId contains a NUL character"),
        (&*format!("{longest}x"), "LedgerId has 1793 bytes, more than 1792"),
    ] {
        assert_eq!(LedgerId::new(text).unwrap_err().to_string(), reason);
        assert!(LedgerId::try_from(text).is_err());
        let json = serde_json::to_string(text).unwrap();
        let error = serde_json::from_str::<LedgerId>(&json).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[derive(Id)]
#[id(crate = cqrs_core)]
struct TransferId(Uuid);

/// The same as [`TransferId`], written by hand as far as the test compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
struct UuidByHand(Uuid);

#[test]
fn derived_and_handwritten_uuid_ids_agree() {
    let derived = TransferId::random();
    let by_hand = UuidByHand(derived.as_uuid());
    assert_eq!(derived.as_uuid().get_version_num(), 7);
    assert_eq!(derived.to_string(), by_hand.0.to_string());
    assert_eq!(format!("{derived:?}"), format!("{by_hand:?}").replace("UuidByHand", "TransferId"));
    let json = serde_json::to_string(&by_hand).unwrap();
    assert_eq!(serde_json::to_string(&derived).unwrap(), json);
    assert_eq!(serde_json::from_str::<TransferId>(&json).unwrap(), derived);
    assert_eq!(derived.to_string().parse::<TransferId>().unwrap(), derived);
    assert_eq!(TransferId::from(Uuid::from(derived)), derived);
    assert!(TransferId::new(Uuid::nil()) < derived);
    let error = "alice".parse::<TransferId>().unwrap_err().to_string();
    assert!(error.starts_with("TransferId `alice` is not a UUID such as"), "{error}");
}

#[derive(ReadModel)]
#[read_model(crate = cqrs_core, name = "balances", version = 3, event = Single, key = amount)]
struct Balances;

struct BalancesByHand;

impl ReadModel for BalancesByHand {
    type Event = Single;
    const NAME: &'static str = "balances";
    const VERSION: u32 = 3;
    fn key(&self) -> Key<Single> {
        Key::by(amount)
    }
}

fn amount(event: &Recorded<Single>) -> Cow<'_, str> {
    event.event.amount.0.to_string().into()
}

/// A read model with the defaults, for any number of rows.
#[derive(ReadModel)]
#[read_model(crate = cqrs_core, name = "newest", event = Everything)]
struct Newest<const ROWS: usize>;

#[test]
fn derived_and_handwritten_read_models_agree() {
    assert_eq!(Balances::NAME, BalancesByHand::NAME);
    assert_eq!(Balances::VERSION, BalancesByHand::VERSION);
    assert!(!Balances.key().is_stream() && !BalancesByHand.key().is_stream());
    assert_eq!((Newest::<5>::NAME, Newest::<5>::VERSION), ("newest", 1));
    assert!(Newest::<5>.key().is_stream());
}
