//! The cost of processes: end-to-end money transfers, and timers.
//!
//! `cargo bench --bench processes` takes several minutes and writes to `benches/results/`.
//! `-- --quick` takes one minute, `-- --only transfers,timers` selects sections; neither writes
//! results. `-- --test` runs everything once with tiny sizes and writes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a benchmark fails by panicking

#[path = "../shared/mod.rs"]
#[allow(dead_code)] // used by other benchmarks
mod shared;
mod timers;
mod transfers;

use cluster::Database;
use cqrs_memory::{MemoryReadStore, MemoryStore};
use cqrs_postgres::{PgReadStore, PgStore};
use shared::Effort;

fn main() {
    shared::run("Processes", "processes", async |_, effort, report| {
        if effort.wants("transfers") {
            transfers::measure(effort, report).await;
        }
        if effort.wants("timers") {
            timers::measure(effort, report).await;
        }
    });
}

/// Empty stores in memory.
fn in_memory() -> (MemoryStore, MemoryReadStore) {
    (MemoryStore::new(), MemoryReadStore::new())
}

/// Stores in one Postgres database.
async fn in_postgres(database: &Database) -> (PgStore, PgReadStore) {
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let process_store =
        PgReadStore::for_processes().options(database.options()).migrate().await.unwrap();
    (store, process_store)
}
