//! Many events at once: large appends and imports, compared with `COPY`.

use std::time::Instant;

use cluster::Database;
use cqrs::{EventStore, StreamName, Version};
use cqrs_postgres::PgStore;
use futures_util::stream::iter;

use crate::Effort;
use crate::plain;
use crate::report::{Report, Target};
use crate::samples::{Spread, events, expecting};

pub(crate) async fn measure(database: &Database, effort: &Effort, report: &mut Report) {
    report.section("Large appends and imports relative to COPY of the same rows");
    let rows = (effort.rows / 10).max(2_000);
    let (mut thousands, mut imports, mut absolute) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let copied = plain::copy(database, rows).await;
        let appended = append_thousands(rows).await;
        let imported = import(rows).await;
        thousands.push(appended / copied);
        imports.push(imported / copied);
        absolute.push((copied, appended, imported));
    }
    absolute.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (copied, appended, imported) = absolute[absolute.len() / 2];
    let what = format!("appends of 1,000 events: {appended:.0} events/s (COPY {copied:.0})");
    report.ratio(&what, Spread::of(thousands), Some(Target::AtLeast(0.75)));
    let what = format!("import: {imported:.0} events/s");
    report.ratio(&what, Spread::of(imports), Some(Target::AtLeast(0.75)));
}

/// Opens a new store, so that every round starts with an empty log.
async fn fresh() -> (Database, PgStore) {
    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    (database, store)
}

async fn append_thousands(rows: usize) -> f64 {
    let (_database, store) = fresh().await;
    let start = Instant::now();
    for n in 0..rows / 1_000 {
        let stream = StreamName::of("bulk", &n).unwrap();
        store.append(expecting(&stream, Version::ZERO, 1_000)).await.unwrap();
    }
    (rows / 1_000 * 1_000) as f64 / start.elapsed().as_secs_f64()
}

async fn import(rows: usize) -> f64 {
    let (_database, store) = fresh().await;
    let history = events(rows)
        .into_iter()
        .enumerate()
        .map(|(n, event)| (StreamName::of("bulk", &(n / 1_000)).unwrap(), event));
    let history: Vec<_> = history.collect();
    let start = Instant::now();
    store.import(iter(history)).await.unwrap();
    rows as f64 / start.elapsed().as_secs_f64()
}
