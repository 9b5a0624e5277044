//! The transfer process with the test kit: given events, when an event, then effects.

use std::time::Duration;

use bank::domain::account::{DepositMoney, WithdrawMoney};
use bank::domain::transfer::{FailTransfer, MarkTransferAsCredited, MarkTransferAsDebited};
use bank::domain::{Account, AccountError, AccountEvent, FailureReason, TransferEvent, TransferId};
use bank::process::MoneyTransfer;
use bank::read::BankEvent;
use cqrs::{Effects, Timestamp, event::Uuid};
use cqrs_testing::{GivenProcess, given_process};

use crate::{account, eur, noon};

const PATIENCE: Duration = Duration::from_secs(30);
/// The time of rejections on the clock of the test kit.
const THEN: Timestamp = Timestamp::UNIX_EPOCH;

fn id() -> TransferId {
    Uuid::from_u128(7).into()
}

fn started() -> BankEvent {
    let (transfer_id, source_id, target_id) = (id(), account(1), account(2));
    let (amount, started_at) = (eur("30.00"), noon());
    let event =
        TransferEvent::TransferStarted { transfer_id, source_id, target_id, amount, started_at };
    BankEvent::Transfer(event)
}

fn withdrawn() -> BankEvent {
    let (account_id, amount, new_balance) = (account(1), eur("30.00"), eur("70.00"));
    let (transfer_id, at) = (Some(id()), noon());
    let event = AccountEvent::MoneyWithdrawn { account_id, amount, new_balance, transfer_id, at };
    BankEvent::Account(event)
}

fn deposited(n: u128, refund: bool) -> BankEvent {
    let (account_id, amount, new_balance) = (account(n), eur("30.00"), eur("80.00"));
    let (transfer_id, at) = (Some(id()), noon());
    let event =
        AccountEvent::MoneyDeposited { account_id, amount, new_balance, transfer_id, refund, at };
    BankEvent::Account(event)
}

fn withdraw() -> WithdrawMoney {
    let (account_id, amount, transfer_id) = (account(1), eur("30.00"), Some(id()));
    WithdrawMoney { account_id, amount, transfer_id, at: noon() }
}

fn deposit(n: u128, refund: bool, at: Timestamp) -> DepositMoney {
    let (account_id, amount, transfer_id) = (account(n), eur("30.00"), Some(id()));
    DepositMoney { account_id, amount, transfer_id, refund, at }
}

fn fail(reason: FailureReason, refunded: bool, at: Timestamp) -> FailTransfer {
    FailTransfer { transfer_id: id(), reason, refunded, at }
}

fn debited() -> MarkTransferAsDebited {
    MarkTransferAsDebited { transfer_id: id(), at: noon() }
}

fn a_transfer() -> GivenProcess<MoneyTransfer> {
    given_process(MoneyTransfer)
}

#[test]
fn a_transfer_debits_and_credits_step_by_step() {
    let credited = MarkTransferAsCredited { transfer_id: id(), at: noon() };
    a_transfer()
        .when(started())
        .then(Effects::new().dispatch(withdraw()).start_timer("too long", PATIENCE))
        .when(withdrawn())
        .then(Effects::new().dispatch(debited()).dispatch(deposit(2, false, noon())))
        .when(deposited(2, false))
        .then(Effects::new().cancel_timer("too long").dispatch(credited));
}

#[test]
fn a_rejected_debit_fails_the_transfer() {
    let rejected =
        AccountError::InsufficientFunds { balance: eur("1.00"), requested: eur("30.00") };
    let reason = FailureReason::InsufficientFunds;
    a_transfer()
        .given([started()])
        .when_rejected(&id().to_string(), withdraw(), rejected)
        .then(Effects::new().cancel_timer("too long").dispatch(fail(reason, false, THEN)));
}

#[test]
fn a_rejected_credit_is_refunded() {
    a_transfer()
        .given([started(), withdrawn()])
        .when_rejected(&id().to_string(), deposit(2, false, noon()), AccountError::AccountNotFound)
        .then(Effects::new().cancel_timer("too long").dispatch(deposit(1, true, THEN)))
        .when(deposited(1, true))
        .then(Effects::new().cancel_timer("too long").dispatch(fail(
            FailureReason::TargetNotFound,
            true,
            noon(),
        )));
}

#[test]
fn a_timeout_revokes_the_commands_and_refunds() {
    a_transfer()
        .given([started(), withdrawn()])
        .after(PATIENCE)
        .when_timer(&id().to_string(), "too long")
        .then(Effects::new().revoke_commands::<Account>())
        // The credit was accepted in time after all.
        .when(deposited(2, false))
        .then(
            Effects::new()
                .cancel_timer("too long")
                .dispatch(MarkTransferAsCredited { transfer_id: id(), at: noon() }),
        );
}

#[test]
fn an_event_without_a_transfer_starts_no_instance() {
    let (account_id, amount, new_balance) = (account(1), eur("5.00"), eur("5.00"));
    let (transfer_id, refund, at) = (None, false, noon());
    let plain =
        AccountEvent::MoneyDeposited { account_id, amount, new_balance, transfer_id, refund, at };
    a_transfer()
        .when(BankEvent::Account(plain))
        .then_nothing()
        .when(deposited(2, false))
        .then_nothing()
        .then_state(&id().to_string(), |state| assert!(state.is_none()));
}

#[test]
#[should_panic(expected = "- expected")]
fn a_failed_assertion_shows_the_difference() {
    a_transfer().when(started()).then(Effects::new().dispatch(withdraw()));
}
