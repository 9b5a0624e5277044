//! What people look at. Nothing here decides anything.
//!
//! Each read model has a room of its own: its rows, what an event changes in them, and the two
//! projectors that do so in memory and in Postgres. [`ReadSide`] runs them and answers queries.

mod accounts;
mod feed;
mod history;
mod side;
mod statements;
mod transfers;

pub use accounts::{AccountRow, Accounts, AccountsInMemory};
pub use feed::{Feed, FeedEntry, FeedInMemory};
pub use history::{Entry, RECENT, history};
pub use side::{QueryError, ReadSide};
pub use statements::{Month, Statement, Statements, StatementsInMemory};
pub use transfers::{TransferRow, TransferStatus, Transfers, TransfersInMemory};

use cqrs::Event;

use crate::domain::{AccountEvent, Money, TransferEvent};

/// Everything that can happen in the bank.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum BankEvent {
    /// To an account.
    #[event(transparent)]
    Account(AccountEvent),
    /// To a transfer.
    #[event(transparent)]
    Transfer(TransferEvent),
}

/// Columns of `numeric(20,2)` are read and written as cents, so that the driver needs no type for
/// decimals.
fn cents(money: Money) -> i64 {
    money.to_cents()
}
