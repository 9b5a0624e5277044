//! Order and durability under failures: several processes write, pause and roll back, while their
//! connections and the server are killed and readers follow the log. Afterwards every acknowledged
//! event must be stored once and in order, and no reader may have missed or repeated one.
//!
//! `CHAOS_SECONDS=300 cargo test --test chaos` runs it for longer. `CQRS_SEED` repeats the choices
//! of the writers of an earlier run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod failure;
mod observations;
mod reader;
mod writer;

use std::time::Duration;

use cluster::{Chance, Cluster, Database};
use cqrs_core::EventStore;
use cqrs_postgres::PgStore;
use failure::Failure;
use observations::Observations;
use reader::Reader;
use writer::Writers;

/// The number of processes, and of tasks in each.
const PROCESSES: u64 = 3;
const TASKS: u64 = 8;

fn seed() -> u64 {
    let given = std::env::var("CQRS_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| uuid::Uuid::now_v7().as_u64_pair().1)
}

fn seconds(short: u64) -> Duration {
    let given = std::env::var("CHAOS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(given.unwrap_or(short))
}

async fn store(database: &Database) -> PgStore {
    PgStore::builder().options(database.options()).migrate().await.unwrap()
}

/// Lets processes write while failures happen, and collects what writers and readers saw.
async fn run(database: &Database, seed: u64, failure: Failure<'_>) -> (Observations, String) {
    println!("seed {seed}; repeat with CQRS_SEED={seed}");
    let checked = store(database).await;
    let polling =
        PgStore::builder().options(database.options()).listen(false).connect().await.unwrap();
    let readers = [
        Reader::start("notified", store(database).await),
        Reader::start("also notified", store(database).await),
        Reader::start("polling", polling),
    ];
    let mut writers = Writers::start(database, seed, PROCESSES, TASKS);
    let happened = failure.happen(&database.options(), &mut writers, Chance::new(seed)).await;
    let mut observed = writers.stop();
    let head = checked.head().await.unwrap();
    for reader in readers {
        observed.read(reader.stop(head).await);
    }
    observed.log(&checked).await;
    (observed, happened)
}

/// Connections, processes and the server are killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_and_durability_survive_crashes() {
    let cluster = Cluster::start().unwrap();
    let database = Database::on(&cluster.url()).await;
    let seed = seed();
    let failure = Failure { lasts: seconds(10), kills: true, crashes: Some(&cluster) };
    let (observed, happened) = run(&database, seed, failure).await;
    println!("{}; {happened}", observed.summary());
    observed.check();
    assert!(observed.acknowledged() > 100, "fewer than 100 appends were acknowledged");
}

/// Without external failures, no append fails, because of the lock: without it, two writers
/// take the same positions, and one of them fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_in_several_processes_do_not_fail_each_other() {
    let database = Database::create().await;
    let seed = seed();
    let calm = Failure { lasts: seconds(3), kills: false, crashes: None };
    let (observed, _) = run(&database, seed, calm).await;
    println!("{}", observed.summary());
    observed.check();
    assert_eq!(observed.failures(), 0, "appends failed without an external cause");
}

/// Checks the test: under the same load, functions without the lock must cause failures or
/// violations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_lock_is_detected() {
    let database = Database::create().await;
    store(&database).await;
    failure::remove_the_lock(&database.options()).await;
    let calm = Failure { lasts: seconds(3), kills: false, crashes: None };
    let (observed, _) = run(&database, seed(), calm).await;
    println!("{}", observed.summary());
    let violations = observed.violations();
    assert!(observed.failures() > 0 || !violations.is_empty(), "no failure and no violation");
}
