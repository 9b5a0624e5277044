//! A complete dispatch on the memory store, compared with its parts.

use std::time::Duration;

use crate::subject::{Account, Deposit, deposited};
use cqrs::memory::MemoryStore;
use cqrs::{
    Aggregate, App, EventStore, EventStoreExt, ExpectedVersion, StreamName, app::CachePolicy,
    event::NewEvent, store::Append,
};
use criterion::{BatchSize, Criterion};

/// The number of events of an account before the measured command.
const HISTORY: i64 = 20;

fn stream() -> StreamName {
    StreamName::of(Account::CATEGORY, &1).unwrap()
}

async fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let history: Vec<_> = (1..=HISTORY).map(|n| deposited(1, n)).collect();
    store.append_events(&stream(), ExpectedVersion::NoStream, &history).await.unwrap();
    store
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut group = criterion.benchmark_group("dispatch");
    group.measurement_time(Duration::from_secs(3));

    // The parts: decide, encode with a new id, append, apply.
    let parts = runtime.block_on(store());
    let mut account = Account { balance: HISTORY };
    let mut version = HISTORY.unsigned_abs();
    group.bench_function("parts", |bench| {
        bench.iter(|| {
            let events = account.execute(Deposit { account: 1, cents: 1 }).unwrap();
            let new = events.iter().map(|event| NewEvent::of(event).unwrap()).collect();
            let expected = ExpectedVersion::Exact(version.into());
            runtime.block_on(parts.append(Append::to(stream(), expected, new))).unwrap();
            events.iter().for_each(|event| account.apply(event));
            version += 1;
        });
    });

    let warm = App::new(runtime.block_on(store()));
    group.bench_function("warm cache", |bench| {
        bench.iter(|| {
            let command = warm.dispatch(Deposit { account: 1, cents: 1 });
            runtime.block_on(command).unwrap()
        });
    });

    group.bench_function("cold, 20 events", |bench| {
        bench.iter_batched(
            || {
                let app = App::builder(runtime.block_on(store())).cache(CachePolicy::off());
                app.build().unwrap()
            },
            |app| {
                let command = app.dispatch(Deposit { account: 1, cents: 1 });
                runtime.block_on(command).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
