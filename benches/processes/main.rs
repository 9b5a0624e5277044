//! What processes cost: transfers of money from end to end, and timers.
//!
//! `cargo bench --bench processes` takes some minutes and writes `benches/results/`.
//! `-- --quick` takes one, `-- --only transfers,timers` chooses sections (neither writes),
//! `-- --test` runs everything once, tiny, and writes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a bench may

#[path = "../shared/mod.rs"]
#[allow(dead_code)] // what only the other benches use
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

/// Stores in memory, as good as new.
fn in_memory() -> (MemoryStore, MemoryReadStore) {
    (MemoryStore::new(), MemoryReadStore::new())
}

/// Stores in one database.
async fn in_postgres(database: &Database) -> (PgStore, PgReadStore) {
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let kept = PgReadStore::for_processes().options(database.options()).migrate().await.unwrap();
    (store, kept)
}
