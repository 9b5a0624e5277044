//! How the bank's events are stored, byte for byte. A file in `golden/` is never edited: an event
//! that is written in another way gets another file, and the old one must still be read.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use bank::domain::day::{Day, DayEvent};
use bank::domain::suspicion::SuspicionEvent;
use bank::domain::{AccountEvent, FailureReason, TransferEvent};
use cqrs_core::{Event, event::Payload};

use crate::{A, B, account, eur, noon, transfer};

fn account_events() -> Vec<(&'static str, AccountEvent)> {
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
    vec![
        ("bank.account-opened.v1", opened),
        ("bank.money-deposited.v1", deposited(None, false)),
        ("bank.money-deposited.v1.transfer", deposited(Some(transfer()), false)),
        ("bank.money-deposited.v1.refund", deposited(Some(transfer()), true)),
        ("bank.money-withdrawn.v1", withdrawn(None)),
        ("bank.money-withdrawn.v1.transfer", withdrawn(Some(transfer()))),
        ("bank.account-closed.v1", AccountEvent::AccountClosed { account_id, at }),
    ]
}

fn transfer_events() -> Vec<(&'static str, TransferEvent)> {
    let (transfer_id, source_id, target_id) = (transfer(), account(A), account(B));
    let (amount, at) = (eur("30.00"), noon());
    let started_at = at;
    let failed =
        |reason, refunded| TransferEvent::TransferFailed { transfer_id, reason, refunded, at };
    vec![
        (
            "bank.transfer-started.v1",
            TransferEvent::TransferStarted {
                transfer_id,
                source_id,
                target_id,
                amount,
                started_at,
            },
        ),
        (
            "bank.transfer-debited.v1",
            TransferEvent::TransferDebited { transfer_id, source_id, amount, at },
        ),
        (
            "bank.transfer-credited.v1",
            TransferEvent::TransferCredited { transfer_id, target_id, amount, at },
        ),
        ("bank.transfer-failed.v1", failed(FailureReason::InsufficientFunds, false)),
        ("bank.transfer-failed.v1.refunded", failed(FailureReason::TargetNotFound, true)),
    ]
}

fn other_events() -> (SuspicionEvent, DayEvent) {
    let (account_id, amount, at) = (account(A), eur("25.50"), noon());
    let midnight = at.next_multiple_of(Day::LENGTH);
    (
        SuspicionEvent::SuspiciousActivityFlagged { account_id, amount, at },
        DayEvent::DayClosed { day: Day::ending(midnight), at: midnight },
    )
}

/// Forms that are no longer written and must be read for ever.
fn read_only() -> Vec<(&'static str, AccountEvent)> {
    let mut events = account_events();
    events.retain(|(name, _)| *name == "bank.money-withdrawn.v1");
    events.iter_mut().for_each(|(name, _)| *name = "bank.money-withdrawn.v1.no-transfer-id");
    events
}

/// The golden files by name, without the line end that editors add.
fn files() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    files
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), text)
        })
        .collect()
}

fn check_read<E: Event + Debug + PartialEq>(name: &str, file: &str, event: &E) {
    let payload = Payload::from_json(file.to_owned()).unwrap();
    let read = E::decode(event.event_type().name(), &payload);
    assert_eq!(read.unwrap(), *event, "{name}");
}

fn check_written<E: Event + Debug + PartialEq>(name: &str, file: &str, event: &E) {
    let stored = format!("{}.v{}", event.event_type().name(), event.event_type().version());
    assert!(name.starts_with(&stored), "{name} holds {stored}");
    assert_eq!(event.encode().unwrap().as_str(), file, "{name}");
    check_read(name, file, event);
}

#[test]
fn bank_b42_events_are_stored_as_in_the_golden_files() {
    let files = files();
    for (name, event) in account_events() {
        check_written(name, &files[name], &event);
    }
    for (name, event) in transfer_events() {
        check_written(name, &files[name], &event);
    }
    let (flagged, closed) = other_events();
    let (flag, day) = ("bank.suspicious-activity-flagged.v1", "bank.day-closed.v1");
    check_written(flag, &files[flag], &flagged);
    check_written(day, &files[day], &closed);
    for (name, event) in read_only() {
        check_read(name, &files[name], &event);
    }
    // No event without a file, no file without a check.
    for known in AccountEvent::TYPES.iter().chain(TransferEvent::TYPES) {
        let name = format!("{}.v{}", known.name(), known.version());
        assert!(files.contains_key(&name), "{name}.json is missing");
    }
    let checked = account_events().len() + transfer_events().len() + read_only().len() + 2;
    assert_eq!(files.len(), checked);
}

#[test]
fn bank_b41_no_amount_is_stored_as_a_number() {
    for (name, text) in files() {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = value.as_object().unwrap();
        assert!(fields.values().all(|field| !field.is_number()), "{name}");
    }
}
