//! Read models in Postgres: catching up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cqrs::{EventStore, Position, Projections, Projector, projection::ProjectorOptions};
use cqrs_postgres::{PgReadStore, PgStore};

use crate::projectors::{Entries, Sums};
use crate::shared::filled;
use crate::shared::report::{Report, Target};
use crate::shared::samples::Spread;
use crate::{Effort, known};

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report.section("Rows in Postgres: events per second while catching up from the first event");
    let (database, store) = filled(effort.rows).await;
    let few = (effort.rows / 20).max(1_000);
    let (_small, few_store) = filled(few).await;
    let read = || async {
        let options = database.options();
        PgReadStore::builder().options(options).migrate().await.unwrap()
    };
    for (batch, partitions) in [(1, 1), (100, 1), (1_000, 1), (5_000, 1), (1_000, 2), (1_000, 4)] {
        let log = if batch == 1 { &few_store } else { &store };
        let options = ProjectorOptions::new().batch(batch).partitions(partitions);
        let mut rates = Vec::new();
        for _ in 0..effort.rounds.min(if batch == 1_000 { 3 } else { 1 }) {
            rates.push(catch_up(log, &read().await, Entries::<0>, "entries", options).await);
        }
        let target = (batch == 1_000 && partitions == 1).then_some(Target::AtLeast(100_000.0));
        let what = format!("one statement per batch of {batch}, {partitions} partitions");
        report.value(&what, Spread::of(rates).median, target);
    }
    let mut rates = Vec::new();
    for _ in 0..effort.rounds.min(3) {
        let options = ProjectorOptions::new();
        rates.push(catch_up(&few_store, &read().await, Sums, "sums", options).await);
    }
    let what = "one statement per event, transactions of 1,000 events";
    report.value(what, Spread::of(rates).median, Some(Target::AtLeast(10_000.0)));
}

/// Runs first, while the process uses little memory.
pub(crate) async fn memory(effort: &Effort, report: &mut Report) {
    report.section("Memory growth of a process that catches up into Postgres, in MiB");
    for events in [effort.rows / 10, effort.rows] {
        let (database, store) = filled(events).await;
        let read = PgReadStore::builder().options(database.options()).migrate().await.unwrap();
        let peak = Peak::start();
        catch_up(&store, &read, Entries::<0>, "entries", ProjectorOptions::new()).await;
        report.value(&format!("{events} events"), peak.stop().await, None);
    }
}

async fn catch_up(
    store: &PgStore,
    read: &PgReadStore,
    projector: impl Projector<PgReadStore>,
    name: &str,
    options: ProjectorOptions,
) -> f64 {
    let head: Position = store.head().await.unwrap();
    let start = Instant::now();
    let running = Projections::builder_over(store.clone(), read.clone())
        .projector_with(projector, options)
        .start()
        .await
        .unwrap();
    known(&running, name, head).await;
    let rate = head.get() as f64 / start.elapsed().as_secs_f64();
    running.stop().await;
    read.drop_everything().await.unwrap();
    rate
}

/// Samples the memory of the process.
struct Peak {
    before: u64,
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

impl Peak {
    fn start() -> Self {
        let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let task = {
            let (most, over) = (Arc::clone(&most), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    most.fetch_max(resident(), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        };
        Self { before: resident(), most, over, task }
    }

    /// Returns the growth since the start, in MiB.
    async fn stop(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let most = self.most.load(Ordering::Relaxed);
        most.saturating_sub(self.before) as f64 / f64::from(1 << 20)
    }
}
