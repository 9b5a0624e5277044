//! The cost of read models and the speed of their builds.
//!
//! `cargo bench --bench projections` takes some minutes and writes to `benches/results/`. `-- --quick`
//! takes one minute, `-- --only memory,rows` runs some sections, and `-- --test` runs everything once with
//! little data; these write nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a bench fails by panicking

mod concurrent;
mod head;
mod memory;
mod projectors;
mod rows;
#[path = "../shared/mod.rs"]
#[allow(dead_code)] // used by other benches
mod shared;

use std::time::Duration;

use cqrs::{Position, Projections, projection::Waited};
use shared::Effort;

/// A timeout that is longer than anything here takes.
const WITHIN: Duration = Duration::from_secs(600);

fn main() {
    shared::run("Read models", "projections", async |_, effort, report| {
        if effort.wants("rows") {
            rows::memory(effort, report).await;
        }
        if effort.wants("memory") {
            memory::measure(effort, report).await;
        }
        if effort.wants("rows") {
            rows::measure(effort, report).await;
        }
        if effort.wants("head") {
            head::measure(effort, report).await;
        }
        if effort.wants("concurrent") {
            concurrent::measure(effort, report).await;
        }
    });
}

/// Waits until a read model is built and contains a position.
async fn known(projections: &Projections, name: &str, position: Position) {
    assert!(projections.wait_until_built(name, WITHIN).await.unwrap());
    let waited = projections.wait_for(name, position, WITHIN).await.unwrap();
    if waited != Waited::CaughtUp {
        panic!("{:#?}", projections.health().await.unwrap());
    }
}
