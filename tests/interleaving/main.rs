//! Two writers interleaved at every statement: one is held there while the other runs until it
//! finishes or waits for the first. This finds races that need a pause between two particular
//! statements, which a load test rarely hits.
//!
//! The SQL functions get a gate before each statement. A session whose setting names a gate waits
//! there for a lock that the test holds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod gates;
mod harness;
mod reads;
mod sides;

use cluster::Database;
use harness::{Harness, Relation};
use sides::{End, Side};

const RELATIONS: [Relation; 4] =
    [Relation::SameVersion, Relation::OtherStreams, Relation::SameEvents, Relation::SameCommand];
const OTHERS: [Side; 3] = [Side::One, Side::Several, Side::Transaction(End::Commit)];

/// Holds `held` at each of its gates in turn, against each other side in each relation.
async fn interleave_everywhere(held: Side) {
    let database = Database::create().await;
    let mut harness = Harness::new(&database).await;
    let gates = harness.gates_of(held);
    let mut held_times = 0;
    for gate in &gates {
        let mut holder = harness.holder(held, gate).await;
        for other in OTHERS {
            for relation in RELATIONS {
                if harness.interleave(&mut holder, other, relation).await {
                    held_times += 1;
                }
            }
        }
    }
    let tailed = harness.finish().await;
    println!("{held:?}: held {held_times} times at {} gates, {tailed} events", gates.len());
    // Some gates are in branches that only one of the relations takes.
    assert!(held_times >= gates.len() * OTHERS.len(), "held only {held_times} times");
}

#[tokio::test]
async fn an_append_of_one_event_can_be_interleaved_at_every_statement() {
    interleave_everywhere(Side::One).await;
}

#[tokio::test]
async fn an_append_to_several_streams_can_be_interleaved_at_every_statement() {
    interleave_everywhere(Side::Several).await;
}

#[tokio::test]
async fn a_callers_transaction_that_commits_can_be_interleaved_at_every_statement() {
    interleave_everywhere(Side::Transaction(End::Commit)).await;
}

#[tokio::test]
async fn a_callers_transaction_that_rolls_back_can_be_interleaved_at_every_statement() {
    interleave_everywhere(Side::Transaction(End::Rollback)).await;
}

#[tokio::test]
async fn a_callers_transaction_can_be_killed_at_every_statement() {
    interleave_everywhere(Side::Transaction(End::Killed)).await;
}

/// Checks the test: without the lock, the unique indexes still reject duplicates, so a caller's
/// transaction fails through no fault of its own.
#[tokio::test]
#[should_panic(expected = "unexpected error Store")]
async fn a_missing_lock_is_detected() {
    let database = Database::create().await;
    let mut harness = Harness::without_the_lock(&database).await;
    let held = Side::Transaction(End::Commit);
    for gate in harness.gates_of(held) {
        let mut holder = harness.holder(held, &gate).await;
        for relation in RELATIONS {
            harness.interleave(&mut holder, Side::Several, relation).await;
        }
    }
    harness.finish().await;
}
