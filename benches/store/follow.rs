//! Latency from the answer of an append to the delivery to a subscriber.

use std::time::{Duration, Instant};

use cqrs::{
    EventStore, EventStoreExt, StreamName, Version,
    subscription::{Start, SubscriptionOptions},
};
use cqrs_postgres::PgStore;

use crate::Effort;
use crate::report::{Report, Target};
use crate::samples::{Sample, expecting};

pub(crate) async fn measure(store: &PgStore, effort: &Effort, report: &mut Report) {
    report.section(
        "Latency from the response to an append until a subscriber receives the event, at the head",
    );
    for per_second in [100_u32, 1_000] {
        let sample = latency(store, per_second, effort).await;
        let p50 = sample.p50.as_secs_f64() * 1_000.0;
        let p99 = sample.p99.as_secs_f64() * 1_000.0;
        report.value(&format!("{per_second}/s: p50 in ms"), p50, Some(Target::AtMost(0.3)));
        report.value(&format!("{per_second}/s: p99 in ms"), p99, Some(Target::AtMost(3.0)));
    }
}

async fn latency(store: &PgStore, per_second: u32, effort: &Effort) -> Sample {
    let mut following = store.subscribe(SubscriptionOptions::all().from(Start::Now)).await.unwrap();
    let (seen, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let follower = tokio::spawn(async move {
        while let Some(event) = following.next().await {
            if seen.send((event.unwrap().position, Instant::now())).is_err() {
                return;
            }
        }
    });
    let stream = StreamName::new(format!("follow-{per_second}-{}", std::process::id())).unwrap();
    let mut version = Version::ZERO;
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
    while start.elapsed() < effort.duration * 4 {
        pace.tick().await;
        let appended = store.append(expecting(&stream, version, 1)).await.unwrap();
        let answered = Instant::now();
        version = appended.version();
        loop {
            let (position, at) = arrivals.recv().await.unwrap();
            if position == appended.position() {
                latencies.push(at.saturating_duration_since(answered));
                break;
            }
        }
    }
    follower.abort();
    Sample::of(latencies, start.elapsed())
}
