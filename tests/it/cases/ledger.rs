//! The aggregate under test: a sum that is never below zero. Written without derives, to check that
//! this stays short.

use cqrs::{
    Aggregate, Command, Event,
    aggregate::Steps,
    event::{DecodeFailure, EventType, Payload, PayloadError},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Serializing a sum of 666 panics.
    #[serde(serialize_with = "unlucky")]
    pub sum: i64,
}

fn unlucky<S: serde::Serializer>(sum: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    assert_ne!(*sum, 666, "unlucky");
    serializer.serialize_i64(*sum)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    pub ledger: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    Put(i64),
    Take(i64),
    /// Takes the amounts one after the other, in steps.
    TakeAll(Vec<i64>),
    /// Is accepted without events.
    Nothing,
    /// Panics in `execute`.
    Panic,
    /// Decides an event for which `apply` panics.
    Poison,
    /// Decides an event that cannot be stored.
    Unstorable,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LedgerEvent {
    Put(i64),
    Taken(i64),
    Poison,
    Note(String),
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LedgerError {
    #[error("{wanted} wanted, {left} left")]
    NotEnough { wanted: i64, left: i64 },
}

impl Command for Change {
    type Aggregate = Ledger;

    fn aggregate_id(&self) -> String {
        self.ledger.clone()
    }
}

impl Event for LedgerEvent {
    const TYPES: &'static [EventType] = &[
        EventType::new("ledger.put", 1),
        EventType::new("ledger.taken", 1),
        EventType::new("ledger.poison", 1),
        EventType::new("ledger.note", 1),
    ];

    fn event_type(&self) -> EventType {
        match self {
            Self::Put(_) => Self::TYPES[0],
            Self::Taken(_) => Self::TYPES[1],
            Self::Poison => Self::TYPES[2],
            Self::Note(_) => Self::TYPES[3],
        }
    }

    fn encode(&self) -> Result<Payload, PayloadError> {
        match self {
            Self::Put(amount) | Self::Taken(amount) => Payload::encode(amount),
            Self::Poison => Payload::encode(&()),
            Self::Note(text) => Payload::encode(text),
        }
    }

    fn decode(name: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
        match name {
            "ledger.put" => Ok(Self::Put(payload.decode()?)),
            "ledger.taken" => Ok(Self::Taken(payload.decode()?)),
            "ledger.poison" => Ok(Self::Poison),
            "ledger.note" => Ok(Self::Note(payload.decode()?)),
            _ => Err(DecodeFailure::UnknownType),
        }
    }
}

impl Ledger {
    fn take(&self, amount: i64) -> Result<Vec<LedgerEvent>, LedgerError> {
        if amount > self.sum {
            return Err(LedgerError::NotEnough { wanted: amount, left: self.sum });
        }
        Ok(vec![LedgerEvent::Taken(amount)])
    }
}

impl Aggregate for Ledger {
    const CATEGORY: &'static str = "ledger";
    type Id = String;
    type Command = Change;
    type Event = LedgerEvent;
    type Error = LedgerError;

    fn execute(&self, command: Change) -> Result<Vec<LedgerEvent>, LedgerError> {
        match command.what {
            What::Put(amount) => Ok(vec![LedgerEvent::Put(amount)]),
            What::Take(amount) => self.take(amount),
            What::TakeAll(amounts) => {
                let mut steps = Steps::new(self);
                for amount in amounts {
                    steps.then(|ledger| ledger.take(amount))?;
                }
                Ok(steps.into_events())
            }
            What::Nothing => Ok(Vec::new()),
            What::Panic => panic!("the rule broke"),
            What::Poison => Ok(vec![LedgerEvent::Poison]),
            What::Unstorable => Ok(vec![LedgerEvent::Put(1), LedgerEvent::Note("a\0b".to_owned())]),
        }
    }

    fn apply(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Put(amount) => self.sum += amount,
            LedgerEvent::Taken(amount) => self.sum -= amount,
            LedgerEvent::Poison => panic!("apply broke"),
            LedgerEvent::Note(_) => {}
        }
    }
}

pub fn put(ledger: &str, amount: i64) -> Change {
    Change { ledger: ledger.to_owned(), what: What::Put(amount) }
}

pub fn take(ledger: &str, amount: i64) -> Change {
    Change { ledger: ledger.to_owned(), what: What::Take(amount) }
}

pub fn change(ledger: &str, what: What) -> Change {
    Change { ledger: ledger.to_owned(), what }
}
