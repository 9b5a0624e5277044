//! Runs eight partitions in two programs that are killed, paused and made to fail, during appends
//! and a rebuild. Afterwards every event has taken effect once, in the order of its key. At no time
//! is a checkpoint ahead of an event that is not in the rows.
//!
//! `CHAOS_EVENTS=50000 cargo test --test projections chaos` runs it in full; `CQRS_SEED` repeats
//! the random choices of a run.

use std::marker::PhantomData;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster::{Chance, Database};
use cqrs::{
    EventStore, ExpectedVersion, Projections, Projector, ReadModel, Recorded,
    event::NewEvent,
    projection::{ConsumerName, FailurePolicy, ProjectError, ProjectorOptions, ReadStore},
    store::Append,
};
use cqrs_postgres::{PgReadStore, PgReadTransaction, PgStore};
use cqrs_testing::{Tables, eventually};
use sqlx::{Connection, Row};

use crate::rows::PgTables;
use crate::tally::{Moved, account};

const PARTITIONS: u32 = 8;
const ACCOUNTS: u64 = 97;
/// The variables that pass the database and a seed to a child process.
const CHILD: [&str; 2] = ["PROJECTIONS_DATABASE", "PROJECTIONS_SEED"];

/// Adds up, records each position, and sometimes fails before or after that.
struct Shaky {
    chance: Arc<AtomicU64>,
    rows: PhantomData<fn() -> PgTables>,
}

impl ReadModel for Shaky {
    type Event = Moved;
    const NAME: &'static str = "shaky";
    const VERSION: u32 = 1;
}

impl Projector<PgReadStore> for Shaky {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        PgTables::create(tx).await?;
        // Without a primary key, so that a duplicate is found.
        sqlx::query("create table seen (position bigint not null)").execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<Moved>,
    ) -> Result<(), ProjectError> {
        let position = event.position.get();
        let mut chance =
            Chance::new(self.chance.fetch_add(1, Ordering::Relaxed) ^ (position << 20));
        let failure = chance.below(400);
        if failure == 0 {
            return Err("failed before".into());
        }
        let (Moved::Added { amount } | Moved::Taken { amount }) = event.event;
        PgTables::add(tx, event.stream.as_str(), amount, position).await?;
        let seen = "insert into seen values ($1)";
        sqlx::query(seen).bind(i64::try_from(position)?).execute(&mut **tx).await?;
        match failure {
            1 => Err("failed after".into()),
            2 => panic!("panicked after"),
            3 => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Runs in a child process.
#[test]
#[ignore = "started by the other test in child processes"]
fn child() {
    let Some(variables) =
        CHILD.iter().map(|name| std::env::var(name).ok()).collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options: sqlx::postgres::PgConnectOptions = variables[0].parse().unwrap();
        let store = PgStore::builder().options(options.clone()).connect().await.unwrap();
        let read = PgReadStore::builder().options(options).max_connections(12).connect();
        let chance = Arc::new(AtomicU64::new(variables[1].parse().unwrap()));
        let pauses = Duration::from_millis(2);
        let options = ProjectorOptions::new()
            .partitions(PARTITIONS)
            .batch(50)
            .on_failure(FailurePolicy::stop().retries(10_000).pauses(pauses, pauses * 10));
        let running = Projections::builder_over(store, read.await.unwrap())
            .lease(Duration::from_secs(1))
            .projector_with(Shaky { chance, rows: PhantomData }, options)
            .start()
            .await
            .unwrap();
        // Until it is killed.
        std::future::pending::<()>().await;
        drop(running);
    });
}

struct Processes {
    url: String,
    children: Vec<Child>,
}

impl Processes {
    fn start(url: &str, seed: u64) -> Self {
        let mut processes = Self { url: url.to_owned(), children: Vec::new() };
        for n in 0..2 {
            let child = processes.spawn(seed.wrapping_add(n));
            processes.children.push(child);
        }
        processes
    }

    fn spawn(&self, seed: u64) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "chaos::child", "--ignored", "--nocapture"])
            .env(CHILD[0], &self.url)
            .env(CHILD[1], seed.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn kill(&mut self, at: usize, seed: u64) {
        let fresh = self.spawn(seed);
        let child = &mut self.children[at];
        child.kill().unwrap();
        child.wait().unwrap();
        *child = fresh;
    }

    fn signal(&self, at: usize, signal: &str) {
        let pid = self.children[at].id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Checks that every event up to the lowest checkpoint is in the rows once, and returns that
/// checkpoint. The lock prevents a swap in the meantime.
async fn check(read: &PgReadStore) -> Result<u64, sqlx::Error> {
    let mut connection = read.pool().acquire().await?;
    let mut tx = connection.begin().await?;
    let hold = "select from cqrs_read.consumers for share";
    sqlx::query(hold).execute(&mut *tx).await?;
    let is_live = "select exists (select from cqrs_read.generations where live)";
    if !sqlx::query(is_live).fetch_one(&mut *tx).await?.get::<bool, _>(0) {
        return Ok(0);
    }
    // In one statement, so in one snapshot.
    let query = "with done as (
          select min(position) as lowest from cqrs_read.partitions s
            join cqrs_read.generations g on g.number = s.generation where g.live)
        select lowest, count(position), count(distinct position)
          from done left join shaky.seen on position <= lowest group by lowest";
    let row = sqlx::query(query).fetch_one(&mut *tx).await?;
    let (lowest, count, distinct): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(
        (count, distinct),
        (lowest, lowest),
        "a checkpoint is ahead, or an event took effect twice"
    );
    Ok(u64::try_from(lowest).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_takes_effect_once_and_in_order_despite_crashes() {
    let seed = std::env::var("CQRS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| uuid::Uuid::now_v7().as_u64_pair().1);
    let events = std::env::var("CHAOS_EVENTS").ok().and_then(|events| events.parse().ok());
    let events: u64 = events.unwrap_or(12_000);
    println!("seed {seed}; repeat with CQRS_SEED={seed}");

    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let read = PgReadStore::builder().options(database.options()).migrate().await.unwrap();
    let mut processes = Processes::start(&database.url(), seed);

    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, mut chance) = (store.clone(), Chance::new(seed ^ writer));
            tokio::spawn(async move {
                let mut sums = vec![(0_i64, 0_i64); ACCOUNTS as usize];
                let mut left = events / 4;
                while left > 0 {
                    let at = chance.below(ACCOUNTS);
                    let count = 1 + chance.below(left.min(5));
                    let amount = i64::try_from(chance.below(1_000)).unwrap();
                    let new = || NewEvent::of(&Moved::Added { amount }).unwrap();
                    let new = (0..count).map(|_| new()).collect();
                    let append = Append::to(account(at), ExpectedVersion::Any, new);
                    store.append(append).await.unwrap();
                    let count = i64::try_from(count).unwrap();
                    sums[at as usize].0 += count;
                    sums[at as usize].1 += count * amount;
                    left -= u64::try_from(count).unwrap();
                    tokio::time::sleep(Duration::from_millis(chance.below(4))).await;
                }
                sums
            })
        })
        .collect();

    let mut chance = Chance::new(seed);
    let (mut kills, mut pauses, mut checks, mut rebuilt) = (0, 0, 0, false);
    let name = ConsumerName::new("shaky").unwrap();
    loop {
        // The test is about random delays.
        tokio::time::sleep(Duration::from_millis(100 + chance.below(300))).await;
        let done = check(&read).await.unwrap();
        checks += 1;
        if done > events / 3 && !rebuilt {
            rebuilt = true;
            let new =
                read.new_generation(&name, 1, PARTITIONS, cqrs::Position::START).await.unwrap();
            let mut new = new.expect("nothing is built yet");
            let shaky = Shaky { chance: Arc::default(), rows: PhantomData };
            shaky.create(&mut new.tx).await.unwrap();
            read.commit_new(new.tx).await.unwrap();
        }
        if done >= events {
            break;
        }
        let at = usize::try_from(chance.below(2)).unwrap();
        match chance.below(4) {
            0 | 1 => {
                kills += 1;
                processes.kill(at, chance.below(u64::MAX));
            }
            2 => {
                // Longer than the lease, so that the other program takes over.
                pauses += 1;
                processes.signal(at, "-STOP");
                tokio::time::sleep(Duration::from_millis(500 + chance.below(2_000))).await;
                processes.signal(at, "-CONT");
            }
            _ => {}
        }
    }

    let mut expected = vec![(0, 0); ACCOUNTS as usize];
    for writer in writers {
        for (sum, (count, amount)) in expected.iter_mut().zip(writer.await.unwrap()) {
            *sum = (sum.0 + count, sum.1 + amount);
        }
    }
    // Without faults, all partitions and the rebuild catch up.
    eventually(Duration::from_secs(120), || async {
        let record = read.inspect(Some(&name)).await.unwrap().remove(0);
        let live = record.live().map(|live| live.position().get());
        if record.building().is_none() && live == Some(events) {
            Ok(())
        } else {
            Err(format!("{record:#?}"))
        }
    })
    .await;
    assert_eq!(check(&read).await.unwrap(), store.head().await.unwrap().get());
    let rows = PgTables::rows(&read, "shaky").await.unwrap();
    for (number, (count, sum)) in (0..).zip(expected) {
        let row = rows.get(account(number).as_str()).copied().unwrap_or_default();
        assert_eq!((row.count, row.sum, row.disorder), (count, sum, 0), "account {number}");
    }
    println!("{events} events, {kills} kills, {pauses} pauses, {checks} checks: once and in order");
}
