//! The tests that every pair of stores must pass, written once.

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

/// Longer than anything here takes.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Quick to notice, so that tests need not wait.
pub fn projections(store: &Store, read: &Read) -> ProjectionsBuilder<Read> {
    Projections::builder_over(store.clone(), read.clone()).lease(Duration::from_millis(300))
}

/// Fails quickly.
pub fn quick(policy: FailurePolicy) -> ProjectorOptions {
    let pauses = Duration::from_millis(5);
    ProjectorOptions::new().on_failure(policy.retries(2).pauses(pauses, pauses * 4))
}

/// Waits until a projector is built and knows a position.
pub async fn known(projections: &Projections, name: &str, position: Position) {
    assert!(projections.wait_until_built(name, WITHIN).await.unwrap(), "{name} is not built");
    let waited = projections.wait_for(name, position, WITHIN).await.unwrap();
    if waited != Waited::CaughtUp {
        panic!("{waited:?}: {:#?}", projections.health().await.unwrap());
    }
}

pub async fn rows(read: &Read, projector: &str) -> BTreeMap<String, Row> {
    Rows::rows(read, projector).await.expect("there is a read model")
}

/// All rows together; every event in order.
pub async fn total(read: &Read, projector: &str) -> (i64, i64) {
    let rows = rows(read, projector).await;
    assert!(rows.values().all(|row| row.disorder == 0), "out of order: {rows:?}");
    (rows.values().map(|row| row.count).sum(), rows.values().map(|row| row.sum).sum())
}
