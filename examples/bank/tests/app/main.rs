//! The bank on real stores, through its public API.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod automation;
mod crashes;
mod history;
mod ledger;
mod postgres;
mod program;
mod read;
mod repositories;
mod sentences;
mod story;
mod transfers;

use bank::domain::account::{CloseAccount, DepositMoney, OpenAccount, WithdrawMoney};
use bank::domain::{AccountId, Money};
use cqrs::{Timestamp, event::Uuid};

fn account(n: u128) -> AccountId {
    Uuid::from_u128(n).into()
}

fn eur(text: &str) -> Money {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn open(n: u128, owner: &str, initial_balance: &str) -> OpenAccount {
    let (account_id, initial_balance) = (account(n), eur(initial_balance));
    OpenAccount { account_id, owner: owner.to_owned(), initial_balance, at: noon() }
}

fn deposit(n: u128, amount: &str) -> DepositMoney {
    let (account_id, amount) = (account(n), eur(amount));
    DepositMoney { account_id, amount, transfer_id: None, refund: false, at: noon() }
}

fn withdraw(n: u128, amount: &str) -> WithdrawMoney {
    WithdrawMoney { account_id: account(n), amount: eur(amount), transfer_id: None, at: noon() }
}

fn close(n: u128) -> CloseAccount {
    CloseAccount { account_id: account(n), at: noon() }
}
