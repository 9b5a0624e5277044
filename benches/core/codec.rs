//! Encodes and decodes one event.

use crate::subject::{Deposited, deposited};
use cqrs::{
    Event,
    event::{NewEvent, Payload},
};
use criterion::{Criterion, Throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let event = deposited(100, 12_345);
    let payload = event.encode().unwrap();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(payload.as_bytes().len() as u64));
    group.bench_function("encode", |bench| {
        bench.iter(|| std::hint::black_box(&event).encode().unwrap());
    });
    group.bench_function("encode under a fresh id", |bench| {
        bench.iter(|| NewEvent::of(std::hint::black_box(&event)).unwrap());
    });
    group.bench_function("decode", |bench| {
        bench
            .iter(|| Deposited::decode("bench.deposited", std::hint::black_box(&payload)).unwrap());
    });
    group.bench_function("check foreign JSON", |bench| {
        bench.iter(|| Payload::from_json(payload.to_bytes()).unwrap());
    });
    group.finish();
}
