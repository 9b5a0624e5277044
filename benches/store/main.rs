//! The Postgres store, compared with what the same server does without it.
//!
//! `cargo bench --bench store` takes some minutes and writes to `benches/results/`. `-- --quick` takes one
//! minute, `-- --only append,bulk` runs some sections, and `-- --test` runs everything once with little data;
//! these write nothing. `-- --ten-million` fills a log with ten million events.
//!
//! Server and clients share the machine, possibly with other programs. Compare only figures of one run,
//! which were measured alternately, and look at the ratios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a bench fails by panicking

mod append;
mod bulk;
mod callers;
mod command;
mod follow;
mod growth;
mod plain;
mod processes;
mod read;
#[path = "../shared/mod.rs"]
mod shared;

use cqrs_postgres::PgStore;
use shared::Effort;
use shared::{report, samples};

fn main() {
    if processes::is_child() {
        return processes::child();
    }
    shared::run("The Postgres store", "store", async |database, effort, report| {
        let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
        if effort.wants("append") {
            append::measure(database, &store, effort, report).await;
        }
        if effort.wants("bulk") {
            bulk::measure(database, effort, report).await;
        }
        if effort.wants("command") {
            command::measure(&store, effort, report).await;
        }
        if effort.wants("follow") {
            follow::measure(&store, effort, report).await;
        }
        if effort.wants("processes") {
            processes::measure(database, effort, report).await;
        }
        if effort.wants("growth") {
            growth::measure(effort, report).await;
        }
        if effort.wants("read") {
            read::measure(effort, report).await;
        }
    });
}
