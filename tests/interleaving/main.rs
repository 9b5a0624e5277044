//! Two sides meet at every statement: one is held there, the other runs to its end or to where it
//! waits for the first. Load does not find a race that needs a pause between two particular
//! statements; this does.
//!
//! The functions of the database get a gate before each statement. A session that was told to stop
//! at a gate waits there for a lock that the test holds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod gates;
mod lab;
mod reads;
mod sides;

use cluster::Database;
use lab::{Lab, Relation};
use sides::{End, Side};

const RELATIONS: [Relation; 4] =
    [Relation::SameVersion, Relation::OtherStreams, Relation::SameEvents, Relation::SameCommand];
const OTHERS: [Side; 3] = [Side::One, Side::Several, Side::Transaction(End::Commit)];

/// Holds `held` at each of its gates in turn, against each other side in each relation.
async fn meet_everywhere(held: Side) {
    let database = Database::create().await;
    let mut lab = Lab::new(&database).await;
    let gates = lab.gates_of(held);
    let mut met = 0;
    for gate in &gates {
        let mut holder = lab.holder(held, gate).await;
        for other in OTHERS {
            for relation in RELATIONS {
                if lab.meet(&mut holder, other, relation).await {
                    met += 1;
                }
            }
        }
    }
    let tailed = lab.finish().await;
    println!("{held:?}: held {met} times at {} gates, {tailed} events", gates.len());
    // Only branches that a relation does not take may go by without being held.
    assert!(met >= gates.len() * OTHERS.len(), "only held {met} times");
}

#[tokio::test]
async fn an_append_of_one_event_held_at_every_statement() {
    meet_everywhere(Side::One).await;
}

#[tokio::test]
async fn an_append_to_several_streams_held_at_every_statement() {
    meet_everywhere(Side::Several).await;
}

#[tokio::test]
async fn a_callers_transaction_that_commits_held_at_every_statement() {
    meet_everywhere(Side::Transaction(End::Commit)).await;
}

#[tokio::test]
async fn a_callers_transaction_that_rolls_back_held_at_every_statement() {
    meet_everywhere(Side::Transaction(End::Rollback)).await;
}

#[tokio::test]
async fn a_callers_transaction_that_is_killed_at_every_statement() {
    meet_everywhere(Side::Transaction(End::Killed)).await;
}

/// The test notices: without the lock the indexes still refuse what must not be, and so a caller's
/// transaction fails for no fault of its own.
#[tokio::test]
#[should_panic(expected = "refused Store")]
async fn without_the_lock_the_schedule_finds_it() {
    let database = Database::create().await;
    let mut lab = Lab::without_the_lock(&database).await;
    let held = Side::Transaction(End::Commit);
    for gate in lab.gates_of(held) {
        let mut holder = lab.holder(held, &gate).await;
        for relation in RELATIONS {
            lab.meet(&mut holder, Side::Several, relation).await;
        }
    }
    lab.finish().await;
}
