use bank::domain::transfer::{
    FailTransfer, MarkTransferAsCredited, MarkTransferAsDebited, StartTransfer,
};
use bank::domain::{FailureReason, Transfer, TransferError, TransferEvent};
use cqrs_testing::{Given, given, given_nothing};

use crate::{A, B, account, eur, noon, transfer};

fn start(source: u128, target: u128, amount: &str) -> StartTransfer {
    StartTransfer {
        transfer_id: transfer(),
        source_id: account(source),
        target_id: account(target),
        amount: eur(amount),
        at: noon(),
    }
}

fn mark_debited() -> MarkTransferAsDebited {
    MarkTransferAsDebited { transfer_id: transfer(), at: noon() }
}

fn mark_credited() -> MarkTransferAsCredited {
    MarkTransferAsCredited { transfer_id: transfer(), at: noon() }
}

fn fail(reason: FailureReason, refunded: bool) -> FailTransfer {
    FailTransfer { transfer_id: transfer(), reason, refunded, at: noon() }
}

fn started() -> TransferEvent {
    TransferEvent::TransferStarted {
        transfer_id: transfer(),
        source_id: account(A),
        target_id: account(B),
        amount: eur("30.00"),
        started_at: noon(),
    }
}

fn debited() -> TransferEvent {
    let (transfer_id, source_id, amount) = (transfer(), account(A), eur("30.00"));
    TransferEvent::TransferDebited { transfer_id, source_id, amount, at: noon() }
}

fn credited() -> TransferEvent {
    let (transfer_id, target_id, amount) = (transfer(), account(B), eur("30.00"));
    TransferEvent::TransferCredited { transfer_id, target_id, amount, at: noon() }
}

fn failed(reason: FailureReason, refunded: bool) -> TransferEvent {
    TransferEvent::TransferFailed { transfer_id: transfer(), reason, refunded, at: noon() }
}

fn after(events: &[TransferEvent]) -> Given<Transfer> {
    given(events.iter().cloned())
}

#[test]
fn a_transfer_is_started_debited_and_credited() {
    given_nothing::<Transfer>()
        .when(start(A, B, "30.00"))
        .then([started()])
        .and_when(mark_debited())
        .then([debited()])
        .and_when(mark_credited())
        .then([credited()])
        .then_state(|transfer| assert_eq!(*transfer, Transfer::Credited));
}

#[test]
fn a_transfer_may_fail_before_the_debit() {
    let reason = FailureReason::InsufficientFunds;
    assert_eq!(reason.to_string(), "insufficient funds");
    after(&[started()]).when(fail(reason, false)).then([failed(reason, false)]);
    after(&[started()]).when(fail(reason, true)).then_error(TransferError::NotDebited);
}

#[test]
fn after_the_debit_a_transfer_fails_only_when_refunded() {
    let reason = FailureReason::TargetNotFound;
    assert_eq!(reason.to_string(), "target account not found");
    let paid = || after(&[started(), debited()]);
    paid().when(fail(reason, false)).then_error(TransferError::NotRefunded);
    paid().when(fail(reason, true)).then([failed(reason, true)]);
}

#[test]
fn source_and_target_must_differ() {
    given_nothing::<Transfer>()
        .when(start(A, A, "10.00"))
        .then_error(TransferError::SameAccount)
        .then_state(|transfer| assert_eq!(*transfer, Transfer::NotStarted));
}

#[test]
fn amounts_must_be_greater_than_zero() {
    for amount in ["0.00", "-5.00"] {
        given_nothing::<Transfer>()
            .when(start(A, B, amount))
            .then_error(TransferError::NonPositiveAmount);
    }
}

#[test]
fn a_transfer_starts_once() {
    for history in [vec![started()], vec![started(), debited(), credited()]] {
        after(&history).when(start(A, B, "30.00")).then_error(TransferError::AlreadyStarted);
    }
}

#[test]
fn recording_a_step_again_has_no_effect() {
    after(&[started(), debited()]).when(mark_debited()).then_nothing();
    let done = || after(&[started(), debited(), credited()]);
    done().when(mark_debited()).then_nothing();
    done().when(mark_credited()).then_nothing();
    let reason = FailureReason::TimedOut;
    after(&[started(), failed(reason, false)]).when(fail(reason, false)).then_nothing();
}

#[test]
fn a_step_out_of_order_is_rejected() {
    let nothing = || given_nothing::<Transfer>();
    let reason = FailureReason::TimedOut;
    nothing().when(mark_debited()).then_error(TransferError::NotStarted);
    nothing().when(mark_credited()).then_error(TransferError::NotStarted);
    nothing().when(fail(reason, false)).then_error(TransferError::NotStarted);
    after(&[started()]).when(mark_credited()).then_error(TransferError::NotDebited);
    after(&[started(), debited(), credited()])
        .when(fail(reason, true))
        .then_error(TransferError::AlreadyCredited);
    let gone = || after(&[started(), failed(reason, false)]);
    gone().when(mark_debited()).then_error(TransferError::AlreadyFailed);
    gone().when(mark_credited()).then_error(TransferError::AlreadyFailed);
}
