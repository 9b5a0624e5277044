//! From the append's answer to the row, at the head of the log.

use std::time::{Duration, Instant};

use cluster::Database;
use cqrs::{EventStore, Projections, StreamName, Version, Waited};
use cqrs_postgres::{PgReadStore, PgStore};

use crate::projectors::{Entries, Sums};
use crate::shared::report::{Report, Target};
use crate::shared::samples::{Sample, expecting};
use crate::{Effort, WITHIN, known};

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report.section("From the append's answer to the committed row, at the head");
    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let read = PgReadStore::builder().options(database.options()).migrate().await.unwrap();
    let running = Projections::builder(store.clone(), read)
        .projector(Sums)
        .projector(Entries::<0>)
        .start()
        .await
        .unwrap();
    let stream = StreamName::new("head-1").unwrap();
    let mut version = store.append(expecting(&stream, Version::ZERO, 1)).await.unwrap().version();
    known(&running, "sums", store.head().await.unwrap()).await;
    let waiter = running.waiter(["sums"]).unwrap();
    let mut latencies = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let start = Instant::now();
    while start.elapsed() < effort.lasts * 4 {
        pace.tick().await;
        let appended = store.append(expecting(&stream, version, 1)).await.unwrap();
        let answered = Instant::now();
        version = appended.version();
        assert_eq!(waiter.wait(appended.position(), WITHIN).await, Waited::CaughtUp);
        latencies.push(answered.elapsed());
    }
    running.stop().await;
    let sample = Sample::of(latencies, start.elapsed());
    for (what, latency, target) in [("p50 in ms", sample.p50, 0.3), ("p99 in ms", sample.p99, 3.0)]
    {
        report.value(what, latency.as_secs_f64() * 1_000.0, Some(Target::AtMost(target)));
    }
}
