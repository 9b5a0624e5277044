//! The rules of the bank: pure, synchronous, and without a database, a clock or a runtime.
//! [`account`] and [`transfer`] read from top to bottom: id, state, commands, events, errors, rules.

pub mod account;
pub mod day;
mod failure;
mod money;
pub mod suspicion;
pub mod transfer;

pub use account::{Account, AccountCommand, AccountError, AccountEvent, AccountId};
pub use failure::FailureReason;
pub use money::{InvalidMoney, Money};
pub use transfer::{Transfer, TransferCommand, TransferError, TransferEvent, TransferId};
