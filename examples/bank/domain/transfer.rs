//! A transfer: the record of how far money has come on its way from one account to another.
//!
//! It moves nothing itself. A process asks the accounts and notes here what they answered:
//! started, debited, credited; or failed, and then the money is where it came from.
#![allow(missing_docs, reason = "fields are named in the bank's own words")]

use cqrs_core::{Aggregate, Command, Event, Id, Timestamp, event::Uuid};
use serde::{Deserialize, Serialize};

use super::{AccountId, FailureReason, Money};

/// The id of a transfer.
#[derive(Id)]
#[id(crate = cqrs_core)]
pub struct TransferId(Uuid);

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Transfer {
    #[default]
    NotStarted,
    Started(Route),
    Debited(Route),
    Credited,
    Failed,
}

/// What the steps still to come have to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub source_id: AccountId,
    pub target_id: AccountId,
    pub amount: Money,
}

/// Everything a transfer can be asked.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer)]
pub enum TransferCommand {
    Start(StartTransfer),
    MarkAsDebited(MarkTransferAsDebited),
    MarkAsCredited(MarkTransferAsCredited),
    Fail(FailTransfer),
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct StartTransfer {
    pub transfer_id: TransferId,
    pub source_id: AccountId,
    pub target_id: AccountId,
    pub amount: Money,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct MarkTransferAsDebited {
    pub transfer_id: TransferId,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct MarkTransferAsCredited {
    pub transfer_id: TransferId,
    pub at: Timestamp,
}

/// Gives it up. After the debit, whoever does so has to say that the money is back.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct FailTransfer {
    pub transfer_id: TransferId,
    pub reason: FailureReason,
    pub refunded: bool,
    pub at: Timestamp,
}

/// Everything that can happen to a transfer. Golden files pin how it is stored.
#[derive(Clone, Debug, PartialEq, Event)]
#[rustfmt::skip] // reads as a table
pub enum TransferEvent {
    #[event(name = "bank.transfer-started")]
    TransferStarted { transfer_id: TransferId, source_id: AccountId, target_id: AccountId,
                      amount: Money, started_at: Timestamp },
    #[event(name = "bank.transfer-debited")]
    TransferDebited { transfer_id: TransferId, source_id: AccountId, amount: Money, at: Timestamp },
    #[event(name = "bank.transfer-credited")]
    TransferCredited { transfer_id: TransferId, target_id: AccountId, amount: Money, at: Timestamp },
    #[event(name = "bank.transfer-failed")]
    TransferFailed { transfer_id: TransferId, reason: FailureReason, refunded: bool, at: Timestamp },
}

/// Why a transfer refuses. Nothing has happened then, and asking again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[rustfmt::skip]
pub enum TransferError {
    #[error("source and target are the same account")] SameAccount,
    #[error("the amount must be more than zero")] NonPositiveAmount,
    #[error("the transfer was started before")] AlreadyStarted,
    #[error("there is no such transfer")] NotStarted,
    #[error("the source has not paid yet")] NotDebited,
    #[error("the source has paid and has not got its money back")] NotRefunded,
    #[error("the transfer is done")] AlreadyCredited,
    #[error("the transfer has failed")] AlreadyFailed,
}

impl Aggregate for Transfer {
    const CATEGORY: &'static str = "transfer";
    type Id = TransferId;
    type Command = TransferCommand;
    type Event = TransferEvent;
    type Error = TransferError;

    /// A step that was noted before is accepted again and changes nothing: whoever reports it may
    /// have to report it twice.
    fn execute(&self, command: TransferCommand) -> Result<Vec<TransferEvent>, TransferError> {
        use TransferCommand::{Fail, MarkAsCredited, MarkAsDebited, Start};

        let event = match (self, command) {
            (Self::NotStarted, Start(start)) => start.check()?,
            (Self::NotStarted, _) => return Err(TransferError::NotStarted),
            (_, Start(_)) => return Err(TransferError::AlreadyStarted),

            (Self::Started(route), MarkAsDebited(MarkTransferAsDebited { transfer_id, at })) => {
                let Route { source_id, amount, .. } = *route;
                TransferEvent::TransferDebited { transfer_id, source_id, amount, at }
            }
            (Self::Debited(_) | Self::Credited, MarkAsDebited(_)) => return Ok(Vec::new()),

            (Self::Debited(route), MarkAsCredited(MarkTransferAsCredited { transfer_id, at })) => {
                let Route { target_id, amount, .. } = *route;
                TransferEvent::TransferCredited { transfer_id, target_id, amount, at }
            }
            (Self::Started(_), MarkAsCredited(_)) => return Err(TransferError::NotDebited),
            (Self::Credited, MarkAsCredited(_)) => return Ok(Vec::new()),

            (Self::Started(_), Fail(fail)) if fail.refunded => {
                return Err(TransferError::NotDebited);
            }
            (Self::Debited(_), Fail(fail)) if !fail.refunded => {
                return Err(TransferError::NotRefunded);
            }
            (Self::Started(_) | Self::Debited(_), Fail(fail)) => {
                let FailTransfer { transfer_id, reason, refunded, at } = fail;
                TransferEvent::TransferFailed { transfer_id, reason, refunded, at }
            }
            (Self::Credited, Fail(_)) => return Err(TransferError::AlreadyCredited),
            (Self::Failed, Fail(_)) => return Ok(Vec::new()),
            (Self::Failed, _) => return Err(TransferError::AlreadyFailed),
        };
        Ok(vec![event])
    }

    fn apply(&mut self, event: &TransferEvent) {
        match event {
            TransferEvent::TransferStarted { source_id, target_id, amount, .. } => {
                let (source_id, target_id, amount) = (*source_id, *target_id, *amount);
                *self = Self::Started(Route { source_id, target_id, amount });
            }
            TransferEvent::TransferDebited { .. } => {
                if let Self::Started(route) = *self {
                    *self = Self::Debited(route);
                }
            }
            TransferEvent::TransferCredited { .. } => *self = Self::Credited,
            TransferEvent::TransferFailed { .. } => *self = Self::Failed,
        }
    }
}

impl StartTransfer {
    fn check(self) -> Result<TransferEvent, TransferError> {
        let Self { transfer_id, source_id, target_id, amount, at: started_at } = self;
        if source_id == target_id {
            return Err(TransferError::SameAccount);
        }
        if amount <= Money::ZERO {
            return Err(TransferError::NonPositiveAmount);
        }
        Ok(TransferEvent::TransferStarted { transfer_id, source_id, target_id, amount, started_at })
    }
}
