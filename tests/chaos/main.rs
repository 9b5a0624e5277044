//! Order and durability under the worst: several processes write, pause and roll back; connections
//! and the server are killed under them; readers follow all the while. Afterwards the books must
//! agree: what was acknowledged is there, once, in order, and nobody missed or repeated anything.
//!
//! `CHAOS_SECONDS=300 cargo test --test chaos` runs it for longer; `CQRS_SEED` repeats a run as far
//! as the choices of its writers go.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod books;
mod failure;
mod reader;
mod writer;

use std::time::Duration;

use books::Books;
use cluster::{Chance, Cluster, Database};
use cqrs_core::EventStore;
use cqrs_postgres::PgStore;
use failure::Failure;
use reader::Reader;
use writer::Writers;

/// How many processes, and tasks in each.
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

/// Lets processes write while failure happens, and compares what everybody saw.
async fn run(database: &Database, seed: u64, failure: Failure<'_>) -> (Books, String) {
    println!("seed {seed}; repeat with CQRS_SEED={seed}");
    let checked = store(database).await;
    let polling =
        PgStore::builder().options(database.options()).listen(false).connect().await.unwrap();
    let readers = [
        Reader::start("told", store(database).await),
        Reader::start("told too", store(database).await),
        Reader::start("polling", polling),
    ];
    let mut writers = Writers::start(database, seed, PROCESSES, TASKS);
    let happened = failure.happen(&database.options(), &mut writers, Chance::new(seed)).await;
    let mut books = writers.stop();
    let head = checked.head().await.unwrap();
    for reader in readers {
        books.read(reader.stop(head).await);
    }
    books.log(&checked).await;
    (books, happened)
}

/// Everything at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_and_durability_survive_the_worst() {
    let cluster = Cluster::start().unwrap();
    let database = Database::on(&cluster.url()).await;
    let seed = seed();
    let failure = Failure { lasts: seconds(10), kills: true, crashes: Some(&cluster) };
    let (books, happened) = run(&database, seed, failure).await;
    println!("{}; {happened}", books.summary());
    books.check();
    assert!(books.acknowledged() > 100, "hardly anything was written");
}

/// Without any failure from outside nobody is refused for reasons of the store's own. That holds
/// because of the lock: without it two writers take the same positions, and one of them fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_in_several_processes_do_not_get_into_each_others_way() {
    let database = Database::create().await;
    let seed = seed();
    let calm = Failure { lasts: seconds(3), kills: false, crashes: None };
    let (books, _) = run(&database, seed, calm).await;
    println!("{}", books.summary());
    books.check();
    assert_eq!(books.failures(), 0, "refused though nothing happened");
}

/// The same load on functions without the lock: the books must not agree, else this test proves
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_lock_writers_get_into_each_others_way() {
    let database = Database::create().await;
    store(&database).await;
    failure::remove_the_lock(&database.options()).await;
    let calm = Failure { lasts: seconds(3), kills: false, crashes: None };
    let (books, _) = run(&database, seed(), calm).await;
    println!("{}", books.summary());
    let violations = books.violations();
    assert!(books.failures() > 0 || !violations.is_empty(), "nothing was noticed");
}
