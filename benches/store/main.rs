//! What the Postgres store costs and gains, against what the same server does without it.
//!
//! `cargo bench --bench store` takes some minutes and writes `benches/results/`. `-- --quick` takes
//! one, `-- --only append,bulk` chooses sections (neither writes), `-- --ten-million` fills a log with ten million
//! events, `-- --test` runs everything once, tiny, and writes nothing.
//!
//! The machine is its server's and its clients' at once, and often somebody else's too: compare
//! only what one run measured, in turns, and read ratios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a bench may

mod append;
mod bulk;
mod command;
mod follow;
mod growth;
mod plain;
mod processes;
mod read;
#[path = "../shared/mod.rs"]
mod shared;

use cluster::Database;
use cqrs_postgres::PgStore;
use shared::{Effort, Report};
use shared::{report, samples};

fn main() {
    if processes::is_child() {
        return processes::child();
    }
    let effort = Effort::from_arguments();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&effort));
}

async fn run(effort: &Effort) {
    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let mut report = Report::begin(&database, "The Postgres store", "store").await;
    if effort.wants("append") {
        append::measure(&database, &store, effort, &mut report).await;
    }
    if effort.wants("bulk") {
        bulk::measure(&database, effort, &mut report).await;
    }
    if effort.wants("command") {
        command::measure(&store, effort, &mut report).await;
    }
    if effort.wants("follow") {
        follow::measure(&store, effort, &mut report).await;
    }
    if effort.wants("processes") {
        processes::measure(&database, effort, &mut report).await;
    }
    if effort.wants("growth") {
        growth::measure(effort, &mut report).await;
    }
    if effort.wants("read") {
        read::measure(effort, &mut report).await;
    }
    // Part of the figures, or quick ones, must not pass for the figures.
    if effort.is_full {
        report.write().await;
    }
}
