//! Durable appends by a growing number of callers, compared with plain inserts of the same rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::Database;
use cqrs::{EventStore, StreamName, Version};
use cqrs_postgres::PgStore;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::Effort;
use crate::callers::stop_after;
use crate::plain;
use crate::report::{Report, Target};
use crate::samples::{Sample, Spread, expecting};

/// The number of callers, the events per append, and the target ratio.
const CELLS: [(usize, usize, Option<f64>); 10] = [
    (1, 1, Some(0.75)),
    (8, 1, Some(1.1)),
    (32, 1, Some(2.2)),
    (128, 1, Some(3.2)),
    (256, 1, Some(3.5)),
    (1, 10, Some(0.7)),
    (8, 10, None),
    (32, 10, Some(1.05)),
    (128, 10, None),
    (256, 10, None),
];

/// Numbers rounds, so that each uses its own streams.
static ROUND: AtomicU64 = AtomicU64::new(0);

/// Runs callers that append repeatedly, each to its own stream.
pub(crate) async fn callers(
    store: &PgStore,
    callers: usize,
    events: usize,
    duration: Duration,
) -> Sample {
    let round = ROUND.fetch_add(1, Ordering::Relaxed);
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            let name = format!("bench-{}-{round}-{caller}", std::process::id());
            let stream = StreamName::new(name).unwrap();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut version = Version::ZERO;
                // At least once, even if the time is very short.
                while latencies.is_empty() || !stop.load(Ordering::Relaxed) {
                    let append = expecting(&stream, version, events);
                    let start = Instant::now();
                    version = store.append(append).await.unwrap().version();
                    latencies.push(start.elapsed());
                }
                latencies
            })
        })
        .collect();
    stop_after(duration, &stop, tasks).await
}

pub(crate) async fn measure(
    database: &Database,
    store: &PgStore,
    effort: &Effort,
    report: &mut Report,
) {
    report.section(
        "Durable appends relative to plain INSERTs of the same rows by the same number of callers",
    );
    let mut curve = Vec::new();
    for (count, events, target) in CELLS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            theirs.push(plain::callers(database, count, events, effort.duration).await);
            ours.push(callers(store, count, events, effort.duration).await);
        }
        let ratios =
            ours.iter().zip(&theirs).map(|(ours, theirs)| ours.per_second / theirs.per_second);
        let ratio = Spread::of(ratios);
        let (ours, theirs) = (middle(ours), middle(theirs));
        let what = format!(
            "{count} callers, {events} {}: {:.0}/s (plain {:.0}), p50 {} ({}), p99 {} ({})",
            if events == 1 { "event" } else { "events" },
            ours.per_second,
            theirs.per_second,
            micros(ours.p50),
            micros(theirs.p50),
            micros(ours.p99),
            micros(theirs.p99),
        );
        report.ratio(&what, ratio, target.map(Target::AtLeast));
        if events == 1 {
            curve.push((count, ours.per_second, theirs.per_second));
        }
    }
    report.curve(curve);

    let ratios = async {
        let mut ratios = Vec::new();
        for _ in 0..effort.rounds {
            let bare = plain::bare_batches(database, 128, effort.duration).await;
            let ours = callers(store, 128, 1, effort.duration).await;
            ratios.push(ours.per_second / bare);
        }
        ratios
    };
    let what = "128 callers, 1 event, relative to INSERTs of 128 rows without any checks";
    report.ratio(what, Spread::of(ratios.await), Some(Target::AtLeast(0.7)));

    let (_silent_database, silent) = without_notifications().await;
    for count in [1, 32] {
        let mut ratios = Vec::new();
        for _ in 0..effort.rounds {
            let without = callers(&silent, count, 1, effort.duration).await;
            let with = callers(store, count, 1, effort.duration).await;
            ratios.push(with.per_second / without.per_second);
        }
        let what = format!("{count} callers, 1 event, with notifications relative to without");
        report.ratio(&what, Spread::of(ratios), Some(Target::AtLeast(0.95)));
    }
}

/// Opens a store without notifications.
async fn without_notifications() -> (Database, PgStore) {
    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let mut connection = database.options().connect().await.unwrap();
    let functions = "select pg_get_functiondef(p.oid) from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'cqrs' and p.proname in ('append', 'append_one')";
    for row in sqlx::query(functions).fetch_all(&mut connection).await.unwrap() {
        let text: String = row.get(0);
        let silent = text.replace("perform pg_notify(", "perform concat(");
        assert_ne!(text, silent);
        sqlx::raw_sql(AssertSqlSafe(silent)).execute(&mut connection).await.unwrap();
    }
    (database, store)
}

fn middle(mut samples: Vec<Sample>) -> Sample {
    samples.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    samples.swap_remove(samples.len() / 2)
}

pub(crate) fn micros(latency: Duration) -> String {
    format!("{:.2} ms", latency.as_secs_f64() * 1_000.0)
}
