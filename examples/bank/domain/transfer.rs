//! A transfer: the record of how far a payment from one account to another has progressed.
//!
//! It does not move money itself. A process sends commands to the accounts and records each step here:
//! started, debited, credited; or failed, in which case the money is in the source account.
#![allow(missing_docs, reason = "the names of fields and variants say it all")]

use cqrs_core::{Aggregate, Command, Event, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccountId, FailureReason, Money, TransferId};

/// The state of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Transfer {
    #[default]
    NotStarted,
    Started(Route),
    Debited(Route),
    Credited,
    Failed,
}

/// The data that later steps need.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub source_id: AccountId,
    pub target_id: AccountId,
    pub amount: Money,
}

/// Every command to a transfer.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer)]
pub enum TransferCommand {
    Start(StartTransfer),
    MarkAsDebited(MarkTransferAsDebited),
    MarkAsCredited(MarkTransferAsCredited),
    Fail(FailTransfer),
}

/// Starts a transfer. Source and target must differ.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct StartTransfer {
    pub transfer_id: TransferId,
    pub source_id: AccountId,
    pub target_id: AccountId,
    pub amount: Money,
    pub at: Timestamp,
}

/// Records that the source was debited.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct MarkTransferAsDebited {
    pub transfer_id: TransferId,
    pub at: Timestamp,
}

/// Records that the target was credited, which completes the transfer.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct MarkTransferAsCredited {
    pub transfer_id: TransferId,
    pub at: Timestamp,
}

/// Records that the transfer failed. After the debit, `refunded` must be `true`.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Transfer, id = transfer_id)]
pub struct FailTransfer {
    pub transfer_id: TransferId,
    pub reason: FailureReason,
    pub refunded: bool,
    pub at: Timestamp,
}

/// Every event of a transfer. Golden files pin the stored form.
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

/// Why a transfer rejected a command. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[rustfmt::skip]
pub enum TransferError {
    #[error("source and target are the same account")] SameAccount,
    #[error("the amount must be greater than zero")] NonPositiveAmount,
    #[error("the transfer was already started")] AlreadyStarted,
    #[error("transfer not found")] NotStarted,
    #[error("the source has not been debited yet")] NotDebited,
    #[error("the source has been debited and not refunded")] NotRefunded,
    #[error("the transfer has already completed")] AlreadyCredited,
    #[error("the transfer has already failed")] AlreadyFailed,
}

impl Aggregate for Transfer {
    const CATEGORY: &'static str = "transfer";
    type Id = TransferId;
    type Command = TransferCommand;
    type Event = TransferEvent;
    type Error = TransferError;

    /// Recording a step again is accepted and has no effect, because the process may have to repeat a
    /// command.
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
