//! The memory store on one thread, with one event of 150 bytes per append.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // a bench fails by panicking

use std::hint::black_box;
use std::time::{Duration, Instant};

use cqrs::memory::MemoryStore;
use cqrs::{
    Event, EventStore, EventStoreExt, ExpectedVersion, StreamName,
    event::NewEvent,
    store::{Append, LogRead, Read, StreamRead},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{StreamExt, TryStreamExt};

#[path = "shared/deposited.rs"]
mod deposited;

use deposited::Deposited;

/// The number of streams. The appends cycle through them.
const STREAMS: usize = 1_000;

fn deposited() -> Deposited {
    let event = Deposited {
        account: "0199f3c2-5b1d-7c3e-9a4f-1d2e3f405162".into(),
        amount: 12_500,
        balance: 1_048_576,
        reference: "invoice 2026-11-0042, 2nd round".into(),
        teller: "teller-17".into(),
    };
    assert_eq!(event.encode().unwrap().as_bytes().len(), 150);
    event
}

fn streams() -> Vec<StreamName> {
    (0..STREAMS).map(|number| StreamName::of("account", &number).unwrap()).collect()
}

fn append_to(stream: &StreamName, event: NewEvent) -> Append {
    Append::to(stream.clone(), ExpectedVersion::Any, vec![event])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Measures `times` appends to a new store. The events are encoded beforehand.
fn ready_made(times: u64) -> Duration {
    let (event, streams) = (deposited(), streams());
    let cycle = streams.iter().cycle().take(usize::try_from(times).unwrap());
    let appends: Vec<_> =
        cycle.map(|stream| append_to(stream, NewEvent::of(&event).unwrap())).collect();
    let store = MemoryStore::new();
    runtime().block_on(async {
        let start = Instant::now();
        for append in appends {
            black_box(store.append(append).await.unwrap());
        }
        start.elapsed()
    })
}

/// Measures the same including encoding the events and creating their ids.
fn typed(times: u64) -> Duration {
    let (event, streams) = (deposited(), streams());
    let store = MemoryStore::new();
    runtime().block_on(async {
        let start = Instant::now();
        for stream in streams.iter().cycle().take(usize::try_from(times).unwrap()) {
            let event = NewEvent::of(black_box(&event)).unwrap();
            black_box(store.append(append_to(stream, event)).await.unwrap());
        }
        start.elapsed()
    })
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory/append");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ready-made", |b| b.iter_custom(ready_made));
    group.bench_function("typed", |b| b.iter_custom(typed));
    group.finish();
}

fn reads(c: &mut Criterion) {
    const EVENTS: usize = 100_000;
    let (runtime, store, streams) = (runtime(), MemoryStore::new(), streams());
    runtime.block_on(async {
        for stream in streams.iter().cycle().take(EVENTS) {
            let event = NewEvent::of(&deposited()).unwrap();
            store.append(append_to(stream, event)).await.unwrap();
        }
    });

    let mut group = c.benchmark_group("memory/read");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("log in pages", |b| {
        b.to_async(&runtime).iter(|| async {
            let mut pages = store.read_log(LogRead::forward());
            let mut seen = 0;
            while let Some(page) = pages.next().await {
                seen += page.unwrap().events.len();
            }
            assert_eq!(seen, EVENTS);
        });
    });
    group.bench_function("log typed", |b| {
        b.to_async(&runtime).iter(|| async {
            let events = store.read_as::<Deposited>(Read::all()).await.unwrap();
            let total =
                events.try_fold(0, |sum, event| async move { Ok(sum + event.event.amount) });
            black_box(total.await.unwrap());
        });
    });
    group.throughput(Throughput::Elements((EVENTS / STREAMS) as u64));
    group.bench_function("one stream of 100", |b| {
        b.to_async(&runtime).iter(|| async {
            let read = StreamRead::forward(streams[7].clone());
            let pages: Vec<_> = store.read_stream(read).try_collect().await.unwrap();
            assert_eq!(pages[0].events.len(), EVENTS / STREAMS);
        });
    });
    group.finish();
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
