//! The rules, without a store and without a runtime.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod account;
mod boundary;
mod golden;
mod money;
mod transfer;

use bank::domain::{AccountId, Money, TransferId};
use cqrs_core::{Timestamp, event::Uuid};

const A: u128 = 0xA;
const B: u128 = 0xB;

fn account(n: u128) -> AccountId {
    Uuid::from_u128(n).into()
}

fn transfer() -> TransferId {
    Uuid::from_u128(0x71).into()
}

/// Parses an amount: `eur("100.00")`.
fn eur(text: &str) -> Money {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}
