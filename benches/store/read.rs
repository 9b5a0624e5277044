//! Reads the whole log, and one stream.

use std::time::Instant;

use cqrs::{
    EventStore, EventStoreExt, StreamName,
    store::{LogRead, Read},
};
use cqrs_postgres::PgStore;
use futures_util::StreamExt;
use sqlx::ConnectOptions;

use crate::Effort;
use crate::report::{Report, Target};
use crate::samples::{Sample, Spread, events};
use crate::shared::{Deposited, filled};

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report.section("Reading");
    let (database, store) = filled(effort.rows).await;
    let mut connection = database.options().connect().await.unwrap();
    let (mut typed, mut raw, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let start = Instant::now();
        let select = "select position, stream_id, version, type_id, schema_version, event_id, \
                      recorded_at, data, metadata from cqrs.events order by position";
        let mut rows = sqlx::query(select).fetch(&mut connection);
        let mut count = 0;
        while let Some(row) = rows.next().await {
            row.unwrap();
            count += 1;
        }
        drop(rows);
        let bare = f64::from(count) / start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut events = store.read_as::<Deposited>(Read::all()).await.unwrap();
        let mut count = 0;
        while let Some(event) = events.next().await {
            event.unwrap();
            count += 1;
        }
        let ours = f64::from(count) / start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut pages = store.read_log(LogRead::forward());
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += page.unwrap().events.len();
        }
        let untyped = count as f64 / start.elapsed().as_secs_f64();
        typed.push(ours / bare);
        raw.push(untyped / bare);
        rates.push((ours, untyped, bare));
    }
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ours, untyped, bare) = rates[rates.len() / 2];
    let what = format!("whole log, typed: {ours:.0} events/s (bare streamed SELECT {bare:.0})");
    report.ratio(&what, Spread::of(typed), Some(Target::AtLeast(0.65)));
    let what = format!("whole log, pages of 1,000, not decoded: {untyped:.0} events/s");
    report.ratio(&what, Spread::of(raw), None);
    for length in [10, 1_000, 100_000.min(effort.rows)] {
        let sample = load(&store, length).await;
        let what = format!("one stream of {length} events, p50 in ms");
        report.value(&what, sample.p50.as_secs_f64() * 1_000.0, None);
    }
}

async fn load(store: &PgStore, length: usize) -> Sample {
    let stream = StreamName::new(format!("long-{length}")).unwrap();
    let history = events(length).into_iter().map(|event| (stream.clone(), event));
    let history: Vec<_> = history.collect();
    store.import(futures_util::stream::iter(history)).await.unwrap();
    let mut latencies = Vec::new();
    let begin = Instant::now();
    for _ in 0..(20_000 / length).clamp(3, 500) {
        let start = Instant::now();
        let events = store.read_as::<Deposited>(Read::stream(stream.clone())).await.unwrap();
        let loaded = events.collect().await.unwrap();
        assert_eq!(loaded.len(), length);
        latencies.push(start.elapsed());
    }
    Sample::of(latencies, begin.elapsed())
}
