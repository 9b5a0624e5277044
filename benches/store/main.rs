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
mod report;
mod samples;

use std::time::Duration;

use cluster::Database;
use cqrs_postgres::PgStore;
use report::Report;

/// How much to measure.
#[derive(Clone, Debug)]
struct Effort {
    rounds: usize,
    lasts: Duration,
    /// Events for sections that count rows instead of time.
    rows: usize,
    ten_million: bool,
    only: Vec<String>,
    /// Everything, for as long as it takes.
    is_full: bool,
}

impl Effort {
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let has = |name: &str| arguments.iter().any(|argument| argument == name);
        let only = arguments.iter().position(|argument| argument == "--only");
        let only = only
            .and_then(|at| arguments.get(at + 1))
            .map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect());
        let mut effort = Self {
            rounds: 5,
            lasts: Duration::from_millis(1_000),
            rows: 1_000_000,
            ten_million: has("--ten-million"),
            only,
            is_full: !has("--test") && !has("--quick") && !has("--only"),
        };
        if has("--quick") {
            (effort.rounds, effort.lasts, effort.rows) = (3, Duration::from_millis(400), 200_000);
        }
        if has("--test") {
            (effort.rounds, effort.lasts, effort.rows) = (1, Duration::from_millis(20), 2_000);
        }
        effort
    }

    fn wants(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == section)
    }
}

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
    let mut report = Report::begin(&database).await;
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
