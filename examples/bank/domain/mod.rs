//! The rules of the bank: pure and synchronous, without a database, a clock or a runtime.
//!
//! [`account`] and [`transfer`] read from top to bottom: state, commands, events, errors, rules.

pub mod account;
pub mod day;
mod failure;
mod id;
mod money;
pub mod suspicion;
pub mod transfer;

pub use account::{Account, AccountCommand, AccountError, AccountEvent};
pub use failure::FailureReason;
pub use id::{AccountId, TransferId};
pub use money::{InvalidMoney, Money};
pub use transfer::{Transfer, TransferCommand, TransferError, TransferEvent};
