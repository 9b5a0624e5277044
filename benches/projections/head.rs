//! Latency from the answer of an append to the row, at the head of the log.

use std::time::{Duration, Instant};

use cluster::Database;
use cqrs::projection::ProjectionsBuilder;
use cqrs::{
    EventStore, Projections, StreamName, Version,
    projection::{ReadStore, Waited},
};
use cqrs_memory::MemoryReadStore;
use cqrs_postgres::{PgReadStore, PgStore};

use crate::projectors::{Balances, Sums};
use crate::shared::report::{Report, Target};
use crate::shared::samples::{Sample, expecting};
use crate::{Effort, WITHIN, known};

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report
        .section("Latency from the response to an append until the row is committed, at the head");
    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let memory =
        Projections::builder_over(store.clone(), MemoryReadStore::new()).projector(Balances);
    measure_one(&store, memory, "balances", "read model in memory", effort, report).await;
    let read = PgReadStore::builder().options(database.options()).migrate().await.unwrap();
    let rows = Projections::builder_over(store.clone(), read).projector(Sums);
    measure_one(&store, rows, "sums", "row in Postgres", effort, report).await;
}

async fn measure_one<S: ReadStore>(
    store: &PgStore,
    builder: ProjectionsBuilder<S>,
    name: &str,
    what: &str,
    effort: &Effort,
    report: &mut Report,
) {
    let running = builder.start().await.unwrap();
    let stream = StreamName::of("head", &name).unwrap();
    let mut version = store.append(expecting(&stream, Version::ZERO, 1)).await.unwrap().version();
    known(&running, name, store.head().await.unwrap()).await;
    let waiter = running.waiter([name]).unwrap();
    let mut latencies = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let start = Instant::now();
    while start.elapsed() < effort.duration * 4 {
        pace.tick().await;
        let appended = store.append(expecting(&stream, version, 1)).await.unwrap();
        let answered = Instant::now();
        version = appended.version();
        assert_eq!(waiter.wait(appended.position(), WITHIN).await, Waited::CaughtUp);
        latencies.push(answered.elapsed());
    }
    running.stop().await;
    let sample = Sample::of(latencies, start.elapsed());
    for (part, latency, target) in [("p50", sample.p50, 0.3), ("p99", sample.p99, 3.0)] {
        let millis = latency.as_secs_f64() * 1_000.0;
        report.value(&format!("{what}: {part} in ms"), millis, Some(Target::AtMost(target)));
    }
}
