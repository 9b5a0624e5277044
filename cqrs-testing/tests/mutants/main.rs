//! The suite proves something only if a broken store fails it. Here is one broken store for each
//! law, and the case that must catch it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod broken;
mod fault;

use std::panic::{AssertUnwindSafe, catch_unwind};

use broken::Broken;
use cqrs_memory::MemoryStore;
use cqrs_testing::conformance::{CASES, run};
use fault::Fault;

/// Runs a case on one thread with time that passes by itself, so that each run is the same and
/// waiting for what never comes takes no time.
fn keeps(fault: Fault, case: &str) -> bool {
    let shared = MemoryStore::new();
    let fresh = async || match fault {
        Fault::StoresShareEverything => Broken { inner: shared.clone(), fault },
        _ => Broken { inner: MemoryStore::new(), fault },
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(case, &fresh)))).is_ok()
}

#[test]
fn every_mutant_is_caught_by_the_case_of_its_law() {
    let hook = std::panic::take_hook();
    // The failures are wanted; what they say is not.
    std::panic::set_hook(Box::new(|_| {}));
    let survivors: Vec<_> =
        fault::CAUGHT_BY.iter().filter(|(fault, case)| keeps(*fault, case)).collect();
    std::panic::set_hook(hook);
    assert!(survivors.is_empty(), "not caught: {survivors:#?}");
}

#[test]
fn without_a_fault_every_case_passes() {
    for (case, law) in CASES {
        assert!(keeps(Fault::None, case), "{case}: {law}");
    }
}

#[test]
fn every_case_catches_a_mutant() {
    let idle: Vec<_> = CASES
        .iter()
        .map(|(case, _)| case)
        .filter(|case| !fault::CAUGHT_BY.iter().any(|(_, by)| by == *case))
        .collect();
    assert!(idle.is_empty(), "no broken store shows that these can fail: {idle:#?}");
}
