//! Money transfers: debits the source, credits the target, and refunds the source if the target
//! rejects the deposit.

use std::time::Duration;

use cqrs::{
    Effects, ProcessManager, Recorded, Timestamp,
    process::{Destinations, RejectedCommand, Route, Timeout},
};
use serde::{Deserialize, Serialize};

use crate::domain::account::{DepositMoney, WithdrawMoney};
use crate::domain::transfer::{FailTransfer, MarkTransferAsCredited, MarkTransferAsDebited};
use crate::domain::{
    Account, AccountCommand, AccountError, AccountEvent, AccountId, FailureReason, Money, Transfer,
    TransferEvent, TransferId,
};
use crate::read::BankEvent;

/// How long a transfer may take before it times out.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The timer that limits a transfer.
const TOO_LONG: &str = "too long";

/// Moves money from one account to another. Each transfer is one instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoneyTransfer;

/// The state of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    order: Option<Order>,
    /// Why the transfer fails, if it does.
    failure: Option<FailureReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    transfer_id: TransferId,
    source_id: AccountId,
    target_id: AccountId,
    amount: Money,
}

impl Order {
    fn debit(self, at: Timestamp) -> WithdrawMoney {
        let Self { transfer_id, source_id: account_id, amount, .. } = self;
        WithdrawMoney { account_id, amount, transfer_id: Some(transfer_id), at }
    }

    fn credit(self, at: Timestamp) -> DepositMoney {
        let Self { transfer_id, target_id: account_id, amount, .. } = self;
        DepositMoney { account_id, amount, transfer_id: Some(transfer_id), refund: false, at }
    }

    fn refund(self, at: Timestamp) -> DepositMoney {
        let Self { transfer_id, source_id: account_id, amount, .. } = self;
        DepositMoney { account_id, amount, transfer_id: Some(transfer_id), refund: true, at }
    }

    fn fail(self, reason: FailureReason, refunded: bool, at: Timestamp) -> FailTransfer {
        FailTransfer { transfer_id: self.transfer_id, reason, refunded, at }
    }
}

impl ProcessManager for MoneyTransfer {
    type Event = BankEvent;
    type State = Progress;
    const NAME: &'static str = "money_transfer";

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Account>().to::<Transfer>()
    }

    fn route(&self, event: &Recorded<BankEvent>) -> Vec<Route> {
        let route = match &event.event {
            BankEvent::Transfer(TransferEvent::TransferStarted { transfer_id, .. }) => {
                Route::start_or_continue(transfer_id)
            }
            BankEvent::Transfer(
                TransferEvent::TransferCredited { transfer_id, .. }
                | TransferEvent::TransferFailed { transfer_id, .. },
            ) => Route::end(transfer_id),
            BankEvent::Account(
                AccountEvent::MoneyWithdrawn { transfer_id: Some(transfer_id), .. }
                | AccountEvent::MoneyDeposited { transfer_id: Some(transfer_id), .. },
            ) => Route::continue_if_started(transfer_id),
            _ => return Vec::new(),
        };
        vec![route]
    }

    fn apply(&self, progress: &mut Progress, event: &Recorded<BankEvent>) {
        if let BankEvent::Transfer(TransferEvent::TransferStarted {
            transfer_id,
            source_id,
            target_id,
            amount,
            ..
        }) = event.event
        {
            progress.order = Some(Order { transfer_id, source_id, target_id, amount });
        }
    }

    fn react(&self, progress: &Progress, event: &Recorded<BankEvent>) -> Effects {
        let Some(order) = progress.order else { return Effects::new() };
        match event.event {
            BankEvent::Transfer(TransferEvent::TransferStarted { started_at, .. }) => {
                Effects::new().dispatch(order.debit(started_at)).start_timer(TOO_LONG, TIME_LIMIT)
            }
            BankEvent::Account(AccountEvent::MoneyWithdrawn { at, .. }) => {
                let transfer_id = order.transfer_id;
                let debited = Effects::new().dispatch(MarkTransferAsDebited { transfer_id, at });
                match progress.failure {
                    // The transfer timed out in the meantime.
                    Some(_) => debited.dispatch(order.refund(at)),
                    None => debited.dispatch(order.credit(at)),
                }
            }
            BankEvent::Account(AccountEvent::MoneyDeposited { refund: false, at, .. }) => {
                let transfer_id = order.transfer_id;
                let credited = MarkTransferAsCredited { transfer_id, at };
                Effects::new().cancel_timer(TOO_LONG).dispatch(credited)
            }
            BankEvent::Account(AccountEvent::MoneyDeposited { refund: true, at, .. }) => {
                let reason = progress.failure.unwrap_or(FailureReason::TimedOut);
                let failed = order.fail(reason, true, at);
                Effects::new().cancel_timer(TOO_LONG).dispatch(failed)
            }
            _ => Effects::new(),
        }
    }

    fn on_rejected(&self, progress: &mut Progress, rejected: &RejectedCommand) -> Effects {
        let (Some(order), at) = (progress.order, rejected.at()) else {
            return Effects::new().suspend(rejected.reason());
        };
        match rejected.command::<Account>() {
            Some(AccountCommand::Withdraw(_)) => {
                let reason = *progress.failure.get_or_insert(debit_failure(rejected));
                let failed = order.fail(reason, false, at);
                Effects::new().cancel_timer(TOO_LONG).dispatch(failed)
            }
            Some(AccountCommand::Deposit(deposit)) if !deposit.refund => {
                progress.failure.get_or_insert(credit_failure(rejected));
                Effects::new().cancel_timer(TOO_LONG).dispatch(order.refund(at))
            }
            // The money is in no account: an operator has to decide.
            Some(_) => Effects::new().suspend(format!("refund rejected: {}", rejected.reason())),
            None => Effects::new().suspend(rejected.reason()),
        }
    }

    fn on_timeout(&self, progress: &mut Progress, _: &Timeout) -> Effects {
        progress.failure.get_or_insert(FailureReason::TimedOut);
        Effects::new().revoke_commands::<Account>()
    }
}

fn debit_failure(rejected: &RejectedCommand) -> FailureReason {
    match rejected.error() {
        Some(AccountError::AccountNotFound) => FailureReason::SourceNotFound,
        Some(AccountError::AccountClosed) => FailureReason::SourceClosed,
        Some(_) => FailureReason::InsufficientFunds,
        None => FailureReason::TimedOut,
    }
}

fn credit_failure(rejected: &RejectedCommand) -> FailureReason {
    match rejected.error() {
        Some(AccountError::AccountNotFound) => FailureReason::TargetNotFound,
        Some(AccountError::AccountClosed) => FailureReason::TargetClosed,
        Some(_) => FailureReason::TargetFull,
        None => FailureReason::TimedOut,
    }
}
