//! Loads an aggregate from 10 to 100,000 events in the memory store.

use crate::subject::{Account, deposited};
use cqrs::memory::MemoryStore;
use cqrs::{
    Aggregate, EventStoreExt, ExpectedVersion, StreamName,
    repository::{EventSourced, Repository},
};
use criterion::{BenchmarkId, Criterion, Throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(20);
    for count in [10_u64, 1_000, 100_000] {
        let store = MemoryStore::new();
        let stream = StreamName::of(Account::CATEGORY, &count).unwrap();
        let events: Vec<_> = (1..=count).map(|n| deposited(1, n.cast_signed())).collect();
        runtime.block_on(store.append_events(&stream, ExpectedVersion::NoStream, &events)).unwrap();

        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("stored", count), |bench| {
            let repository = EventSourced::<Account>::new(store.clone());
            bench.iter(|| {
                let account = runtime.block_on(repository.load(stream.clone())).unwrap();
                assert_eq!(account.state().balance, count.cast_signed());
            });
        });
        group.bench_function(BenchmarkId::new("apply alone", count), |bench| {
            bench.iter(|| {
                Account::replay(std::hint::black_box(&events).iter().map(std::hint::black_box))
            });
        });
    }
    group.finish();
}
