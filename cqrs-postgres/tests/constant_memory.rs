//! A log far larger than the memory of a reader. Alone in its process, whose memory is measured.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // tests fail by panicking

use cluster::Database;
use cqrs_core::{
    EventStore, StreamName,
    event::NewEvent,
    store::{LogRead, StreamRead},
};
use cqrs_postgres::PgStore;
use futures_util::StreamExt;
use futures_util::stream::iter;

/// Number of events in the log, which would take about 450 bytes each in memory.
const EVENTS: u64 = 1_000_000;
/// Maximum growth of the process while it reads, in bytes.
const MAX_GROWTH: u64 = 64 * 1024 * 1024;

/// The peak memory of this process, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_million_events_are_replayed_in_constant_memory() {
    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let streams: Vec<_> =
        (0..100).map(|n| StreamName::new(format!("account-{n}")).unwrap()).collect();
    // Half of them in one stream.
    let events = (0..EVENTS).map(|n| {
        let stream = if n % 2 == 0 { 0 } else { usize::try_from(n).unwrap() % 100 };
        let content = format!("{n:0>140}");
        (streams.get(stream).unwrap().clone(), NewEvent::json("test.happened", &content).unwrap())
    });
    store.import(iter(events)).await.unwrap();

    // Buffers and caches of a first read stay.
    let mut warm_up = store.read_log(LogRead::forward().limit(20_000));
    while let Some(page) = warm_up.next().await {
        page.unwrap();
    }
    let before = peak();
    let mut count = 0;
    let mut log = store.read_log(LogRead::forward());
    while let Some(page) = log.next().await {
        count += page.unwrap().events.len() as u64;
    }
    assert_eq!(count, EVENTS);
    let mut count = 0;
    let mut one = store.read_stream(StreamRead::forward(streams.first().unwrap().clone()));
    while let Some(page) = one.next().await {
        count += page.unwrap().events.len() as u64;
    }
    assert_eq!(count, EVENTS / 2);
    let grown = peak() - before;
    assert!(grown < MAX_GROWTH, "reading took {} MiB more", grown / 1024 / 1024);
}
