//! Read models in memory: catching up, and reads while events are applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cqrs::{
    EventStore, ExpectedVersion, Projections, StreamName, projection::ProjectorOptions,
    store::Append,
};
use cqrs_memory::{MemoryReadStore, MemoryStore, MemoryView};

use crate::projectors::{Balances, Model};
use crate::shared::report::{Report, Target};
use crate::shared::samples::{Spread, events};
use crate::{Effort, known};

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report.section("In memory: events per second while catching up from the first event");
    let store = filled(effort.rows / 2, 1_000).await;
    for (batch, partitions) in [(1, 1), (100, 1), (1_000, 1), (10_000, 1), (1_000, 4)] {
        let options = ProjectorOptions::new().batch(batch).partitions(partitions);
        let mut rates = Vec::new();
        for _ in 0..effort.rounds.min(3) {
            rates.push(catch_up(&store, options).await);
        }
        let what = format!("batches of {batch}, {partitions} partitions");
        let target = (batch >= 1_000 && partitions == 1).then_some(Target::AtLeast(500_000.0));
        report.value(&what, Spread::of(rates).median, target);
    }
    reading(effort, report).await;
}

/// Creates a log with a number of events and streams.
async fn filled(count: usize, streams: usize) -> MemoryStore {
    let store = MemoryStore::new();
    for turn in 0..count / 100 {
        let stream = StreamName::of("account", &(turn % streams)).unwrap();
        store.append(Append::to(stream, ExpectedVersion::Any, events(100))).await.unwrap();
    }
    store
}

async fn catch_up(store: &MemoryStore, options: ProjectorOptions) -> f64 {
    let head = store.head().await.unwrap();
    let start = Instant::now();
    let running = Projections::builder_over(store.clone(), MemoryReadStore::new())
        .projector_with(Balances, options)
        .start()
        .await
        .unwrap();
    known(&running, "balances", head).await;
    let rate = head.get() as f64 / start.elapsed().as_secs_f64();
    running.stop().await;
    rate
}

/// The pause between appends, so that the writer does not occupy a core.
const PACE: Duration = Duration::from_millis(1);

/// 100,000 rows; one task applies events, sixteen tasks read.
async fn reading(effort: &Effort, report: &mut Report) {
    report
        .section("In memory: reads of single rows by 16 tasks, with a writer relative to without");
    let rows = (effort.rows / 10).min(100_000);
    let store = MemoryStore::new();
    for row in 0..rows {
        let stream = StreamName::of("account", &row).unwrap();
        store.append(Append::to(stream, ExpectedVersion::Any, events(1))).await.unwrap();
    }
    let read = MemoryReadStore::new();
    let view: MemoryView<Model> = read.view("balances").unwrap();
    let running = Projections::builder_over(store.clone(), read);
    let running = running.projector(Balances).start().await.unwrap();
    known(&running, "balances", store.head().await.unwrap()).await;

    for (pace, target) in [(Some(PACE), Some(Target::AtLeast(0.8))), (None, None)] {
        let (mut ratios, mut alone, mut applied) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let (quiet, _) = reads(&view, rows, effort, None).await;
            let (busy, written) = reads(&view, rows, effort, Some((&store, pace))).await;
            ratios.push(busy / quiet);
            alone.push(quiet);
            applied.push(written);
        }
        let (alone, applied) = (Spread::of(alone).median, Spread::of(applied).median);
        let how = if pace.is_some() { "a writer" } else { "an unthrottled writer" };
        let what = format!(
            "{rows} rows: {alone:.0} reads/s without a writer; with {how} at {applied:.0} events/s"
        );
        report.ratio(&what, Spread::of(ratios), target);
    }
    running.stop().await;
}

/// Returns reads per second of 16 tasks, and the events appended and applied per second meanwhile.
async fn reads(
    view: &MemoryView<Model>,
    rows: usize,
    effort: &Effort,
    writes: Option<(&MemoryStore, Option<Duration>)>,
) -> (f64, f64) {
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let readers: Vec<_> = (0..16)
        .map(|reader| {
            let (view, over, done) = (view.clone(), Arc::clone(&over), Arc::clone(&done));
            tokio::spawn(async move {
                let names: Vec<_> = (0..64)
                    .map(|n| StreamName::of("account", &((reader * 64 + n) * 97 % rows)).unwrap())
                    .collect();
                while !over.load(Ordering::Relaxed) {
                    for name in &names {
                        let model = view.get().unwrap();
                        assert!(model.0.get(name).is_some());
                    }
                    done.fetch_add(64, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut written = 0;
    while start.elapsed() < effort.duration {
        match writes {
            Some((store, pace)) => {
                let stream = StreamName::of("account", &(written % rows)).unwrap();
                store.append(Append::to(stream, ExpectedVersion::Any, events(10))).await.unwrap();
                written += 10;
                match pace {
                    Some(pace) => tokio::time::sleep(pace).await,
                    None => tokio::task::yield_now().await,
                }
            }
            None => tokio::time::sleep(effort.duration / 10).await,
        }
    }
    let took = start.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    (done.load(Ordering::Relaxed) as f64 / took, written as f64 / took)
}
