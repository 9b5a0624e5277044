//! How the bank's events are stored, byte for byte. A file in `golden/` is never edited: an event
//! that is stored differently gets another file, and the old one must still be readable.

use std::path::{Path, PathBuf};

use bank::domain::day::{Day, DayEvent};
use bank::domain::suspicion::SuspicionEvent;
use bank::domain::{AccountEvent, FailureReason, TransferEvent};
use cqrs_testing::{GoldenFiles, golden_files};

use crate::{A, B, account, eur, noon, transfer};

fn account_events(files: GoldenFiles) -> GoldenFiles {
    let account_id = account(A);
    let (amount, new_balance, at) = (eur("25.50"), eur("125.50"), noon());
    let deposited = |transfer_id, refund| AccountEvent::MoneyDeposited {
        account_id,
        amount,
        new_balance,
        transfer_id,
        refund,
        at,
    };
    let withdrawn = |transfer_id| AccountEvent::MoneyWithdrawn {
        account_id,
        amount,
        new_balance,
        transfer_id,
        at,
    };
    let (owner, initial_balance) = ("Alice \"Al\" Ångström".to_owned(), eur("100.00"));
    let opened =
        AccountEvent::AccountOpened { account_id, owner, initial_balance, opened_at: noon() };
    files
        .event(opened)
        .event(deposited(None, false))
        .event_with_note("transfer", deposited(Some(transfer()), false))
        .event_with_note("refund", deposited(Some(transfer()), true))
        .event(withdrawn(None))
        .event_with_note("transfer", withdrawn(Some(transfer())))
        .old_event("bank.money-withdrawn.v1.no-transfer-id", withdrawn(None))
        .event(AccountEvent::AccountClosed { account_id, at })
}

fn transfer_events(files: GoldenFiles) -> GoldenFiles {
    let (transfer_id, source_id, target_id) = (transfer(), account(A), account(B));
    let (amount, at) = (eur("30.00"), noon());
    let started = TransferEvent::TransferStarted {
        transfer_id,
        source_id,
        target_id,
        amount,
        started_at: at,
    };
    let failed =
        |reason, refunded| TransferEvent::TransferFailed { transfer_id, reason, refunded, at };
    files
        .event(started)
        .event(TransferEvent::TransferDebited { transfer_id, source_id, amount, at })
        .event(TransferEvent::TransferCredited { transfer_id, target_id, amount, at })
        .event(failed(FailureReason::InsufficientFunds, false))
        .event_with_note("refunded", failed(FailureReason::TargetNotFound, true))
}

fn other_events(files: GoldenFiles) -> GoldenFiles {
    let (account_id, amount, at) = (account(A), eur("25.50"), noon());
    let midnight = at.next_multiple_of(Day::LENGTH);
    files
        .event(SuspicionEvent::SuspiciousActivityFlagged { account_id, amount, at })
        .event(DayEvent::DayClosed { day: Day::ending(midnight), at: midnight })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[test]
fn events_are_stored_as_in_the_golden_files() {
    other_events(transfer_events(account_events(golden_files(folder())))).check();
}

#[test]
fn no_amount_is_stored_as_a_number() {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = value.as_object().unwrap();
        assert!(fields.values().all(|field| !field.is_number()), "{}", path.display());
    }
}
