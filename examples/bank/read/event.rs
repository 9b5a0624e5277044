//! The events that read models and processes over the whole bank look at.

use cqrs::Event;

use crate::domain::{AccountEvent, TransferEvent};

/// Any event of an account or a transfer.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum BankEvent {
    /// An event of an account.
    #[event(transparent)]
    Account(AccountEvent),
    /// An event of a transfer.
    #[event(transparent)]
    Transfer(TransferEvent),
}
