//! Micro benches of the write side: JSON, decisions, replay.

#![allow(clippy::unwrap_used)] // a bench that cannot go on may stop
#![allow(missing_docs)] // written by criterion's macro

mod codec;
mod dispatch;
mod replay;
mod subject;

criterion::criterion_group!(benches, codec::bench, dispatch::bench, replay::bench);
criterion::criterion_main!(benches);
