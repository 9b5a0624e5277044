//! The event that the benches write and read.

use cqrs::Event;
use serde::{Deserialize, Serialize};

/// A deposit; about 150 bytes of JSON.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "bank.deposited")]
pub(crate) struct Deposited {
    pub(crate) account: String,
    pub(crate) amount: i64,
    pub(crate) balance: i64,
    pub(crate) reference: String,
    pub(crate) teller: String,
}
