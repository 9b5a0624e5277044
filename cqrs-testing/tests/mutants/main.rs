//! Tests the conformance suites themselves. There is a broken store for each law, and the case that
//! checks the law must catch it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod broken;
mod broken_checkpoints;
mod broken_read;
mod fault;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use broken::Broken;
use broken_read::{BrokenRead, BrokenTables, ReadFault};
use cqrs_memory::MemoryStore;
use cqrs_testing::conformance::{CASES, run};
use cqrs_testing::read_conformance;
use fault::Fault;

/// Runs a case on one thread with a paused clock, so that every run is the same and waiting takes no
/// time. Returns `true` if the case passes.
fn case_passes(fault: Fault, case: &str) -> bool {
    let shared = MemoryStore::new();
    let fresh = async || match fault {
        Fault::StoresShareEverything => Broken { inner: shared.clone(), fault },
        _ => Broken { inner: MemoryStore::new(), fault },
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(case, &fresh)))).is_ok()
}

/// The files in which a panic occurred.
static PANICKED_IN: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn every_mutant_is_caught_by_the_case_of_its_law() {
    // Hides the messages of the expected panics and records where they come from: a mutant that
    // panics itself was not caught.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or("", |place| place.file());
        PANICKED_IN.lock().unwrap().push(place.replace('\\', "/"));
    }));
    let survivors: Vec<_> = fault::CAUGHT_BY
        .iter()
        .filter(|(fault, case)| {
            PANICKED_IN.lock().unwrap().clear();
            let passed = case_passes(*fault, case);
            let places = std::mem::take(&mut *PANICKED_IN.lock().unwrap());
            passed || !places.iter().any(|place| place.contains("src/conformance/"))
        })
        .collect();
    let _ = std::panic::take_hook();
    assert!(survivors.is_empty(), "not caught: {survivors:#?}");
}

#[test]
fn without_a_fault_every_case_passes() {
    for (case, law) in CASES {
        assert!(case_passes(Fault::None, case), "{case}: {law}");
    }
}

#[test]
fn every_case_catches_a_mutant() {
    let idle: Vec<_> = CASES
        .iter()
        .map(|(case, _)| case)
        .filter(|case| !fault::CAUGHT_BY.iter().any(|(_, by)| by == *case))
        .collect();
    assert!(idle.is_empty(), "no mutant is caught by these cases: {idle:#?}");
}

/// The random comparison must find at least these mutants.
#[test]
fn the_random_comparison_finds_broken_stores() {
    let differs = |fault: Fault, seed: u64| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let broken = Broken { inner: MemoryStore::new(), fault };
        let right = MemoryStore::new();
        let compared = cqrs_testing::model::compare(&right, &broken, seed, 300);
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(compared))).is_err()
    };
    for fault in [
        Fault::VersionsUnchecked,
        Fault::EventsReversed,
        Fault::StreamsReversed,
        Fault::RepeatedUnmarked,
        Fault::DuplicateStored,
        Fault::CommandForgotten,
        Fault::FingerprintUnchecked,
        Fault::OwnTimeIgnored,
        Fault::SchemaVersionLost,
        Fault::FromExclusive,
        Fault::PageSizeIgnored,
        Fault::TypesIgnored,
        Fault::CorrelationIgnored,
        Fault::CursorTooFar,
        Fault::SearchIsPattern,
        Fault::StateForgotten,
        Fault::SnapshotStays,
    ] {
        assert!((1..=20).any(|seed| differs(fault, seed)), "{fault:?} was not found");
    }
    assert!((1..=20).all(|seed| !differs(Fault::None, seed)));
}

fn read_case_passes(fault: ReadFault, case: &str) -> bool {
    let fresh = async || BrokenRead::new(fault);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let run = read_conformance::run::<BrokenTables>(case, &fresh);
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(run))).is_ok()
}

#[test]
fn every_case_of_read_stores_catches_a_mutant() {
    for (case, law) in read_conformance::CASES {
        assert!(read_case_passes(ReadFault::None, case), "{case}: {law}");
        let caught = broken_read::CAUGHT_BY.iter().filter(|(_, by)| by == case);
        let survivors: Vec<_> =
            caught.clone().filter(|(f, _)| read_case_passes(*f, case)).collect();
        assert!(survivors.is_empty(), "not caught: {survivors:?}");
        assert!(caught.count() > 0, "no mutant is caught by {case}");
    }
}
