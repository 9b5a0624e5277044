//! What read models cost and how fast they are built.
//!
//! `cargo bench --bench projections` takes some minutes and writes `benches/results/`.
//! `-- --quick` takes one, `-- --only memory,rows` chooses sections (neither writes), `-- --test`
//! runs everything once, tiny, and writes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a bench may

mod beside;
mod head;
mod memory;
mod projectors;
mod rows;
#[path = "../shared/mod.rs"]
#[allow(dead_code)] // what only the other bench uses
mod shared;

use std::time::Duration;

use cluster::Database;
use cqrs::{Position, Projections, Waited};
use shared::{Effort, Report};

/// Longer than anything here takes.
const WITHIN: Duration = Duration::from_secs(600);

fn main() {
    let effort = Effort::from_arguments();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::create().await;
        let mut report = Report::begin(&database, "Read models", "projections").await;
        if effort.wants("rows") {
            rows::memory(&effort, &mut report).await;
        }
        if effort.wants("memory") {
            memory::measure(&effort, &mut report).await;
        }
        if effort.wants("rows") {
            rows::measure(&effort, &mut report).await;
        }
        if effort.wants("head") {
            head::measure(&effort, &mut report).await;
        }
        if effort.wants("beside") {
            beside::measure(&effort, &mut report).await;
        }
        if effort.is_full {
            report.write().await;
        }
    });
}

/// Waits until a read model is built and knows a position.
async fn known(projections: &Projections, name: &str, position: Position) {
    assert!(projections.built(name, WITHIN).await.unwrap());
    let waited = projections.wait_for(name, position, WITHIN).await.unwrap();
    if waited != Waited::CaughtUp {
        panic!("{:#?}", projections.health().await.unwrap());
    }
}
