//! The aggregate of the benches: an account whose events take about 150 bytes of JSON.

use cqrs::{
    Aggregate, Command, Event,
    event::{DecodeFailure, EventType, Payload, PayloadError},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) balance: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deposit {
    pub(crate) account: u64,
    pub(crate) cents: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deposited {
    pub(crate) account: Uuid,
    pub(crate) cents: i64,
    pub(crate) balance: i64,
    pub(crate) reference: String,
}

impl Event for Deposited {
    const TYPES: &'static [EventType] = &[EventType::new("bench.deposited", 1)];
    fn event_type(&self) -> EventType {
        EventType::new("bench.deposited", 1)
    }
    fn encode(&self) -> Result<Payload, PayloadError> {
        Payload::encode(self)
    }
    fn decode(_: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
        Ok(payload.decode()?)
    }
}

impl Command for Deposit {
    type Aggregate = Account;
    fn aggregate_id(&self) -> u64 {
        self.account
    }
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u64;
    type Command = Deposit;
    type Event = Deposited;
    type Error = std::convert::Infallible;

    fn execute(&self, deposit: Deposit) -> Result<Vec<Deposited>, Self::Error> {
        Ok(vec![deposited(deposit.cents, self.balance + deposit.cents)])
    }

    fn apply(&mut self, event: &Deposited) {
        self.balance = event.balance;
    }
}

pub(crate) fn deposited(cents: i64, balance: i64) -> Deposited {
    Deposited {
        account: Uuid::from_u128(7),
        cents,
        balance,
        reference: "invoice 2026-000123, thank you very much".into(),
    }
}
