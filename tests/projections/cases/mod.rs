//! Cases that run on every pair of stores.

mod delivery;
mod evolution;
mod failures;
mod inline;
mod nodes;
mod rebuilding;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use cqrs::projection::{Projections, ProjectionsBuilder, Waited};
use cqrs::{
    Position,
    projection::{FailurePolicy, ProjectorOptions},
};
use cqrs_testing::{Row, Tables};

pub use super::fresh;
use fresh::{Read, Rows, Store};

pub type Tally<N = crate::tally::Accounts, const V: u32 = 1> = crate::tally::Tally<Rows, N, V>;

/// Longer than any step of a test takes.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Returns a builder with a short lease.
pub fn projections(store: &Store, read: &Read) -> ProjectionsBuilder<Read> {
    Projections::builder_over(store.clone(), read.clone()).lease(Duration::from_millis(300))
}

/// Returns options with short pauses between retries.
pub fn quick(policy: FailurePolicy) -> ProjectorOptions {
    let pauses = Duration::from_millis(5);
    ProjectorOptions::new().on_failure(policy.retries(2).pauses(pauses, pauses * 4))
}

/// Waits until a projector is built and has reached a position.
pub async fn caught_up(projections: &Projections, name: &str, position: Position) {
    assert!(projections.wait_until_built(name, WITHIN).await.unwrap(), "{name} is not built");
    let waited = projections.wait_for(name, position, WITHIN).await.unwrap();
    if waited != Waited::CaughtUp {
        panic!("{waited:?}: {:#?}", projections.health().await.unwrap());
    }
}

pub async fn rows(read: &Read, projector: &str) -> BTreeMap<String, Row> {
    Rows::rows(read, projector).await.expect("the read model exists")
}

/// Returns the number of events and their sum, and checks their order.
pub async fn total(read: &Read, projector: &str) -> (i64, i64) {
    let rows = rows(read, projector).await;
    assert!(rows.values().all(|row| row.disorder == 0), "out of order: {rows:?}");
    (rows.values().map(|row| row.count).sum(), rows.values().map(|row| row.sum).sum())
}
