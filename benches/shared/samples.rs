//! Appended events and measured samples.

use std::time::Duration;

use cqrs::{
    ExpectedVersion, StreamName, Version,
    event::{EventName, NewEvent, Payload},
    store::Append,
};

/// Returns a payload of about 150 bytes.
pub(crate) fn payload() -> Payload {
    let text = r#"{"account":"0199f3c2-5b1d-7c3e-9a4f-1d2e3f405162","amount":12500,"balance":1048576,"reference":"invoice 2026-11-0042, 2nd","teller":"teller-17","x":1}"#;
    Payload::from_stored(text)
}

pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    let name = EventName::new("bank.deposited").unwrap();
    (0..count).map(|_| NewEvent::raw(name.clone(), 1, payload())).collect()
}

/// Returns an append of events to a stream with a known version.
pub(crate) fn expecting(stream: &StreamName, version: Version, count: usize) -> Append {
    Append::to(stream.clone(), ExpectedVersion::Exact(version), events(count))
}

/// The throughput and latencies of callers.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Sample {
    pub(crate) fn of(mut latencies: Vec<Duration>, took: Duration) -> Self {
        latencies.sort_unstable();
        let at = |part: usize| latencies[(latencies.len() - 1) * part / 100];
        Self { per_second: latencies.len() as f64 / took.as_secs_f64(), p50: at(50), p99: at(99) }
    }
}

/// The median, the minimum and the maximum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        Self { median: values[values.len() / 2], low: values[0], high: values[values.len() - 1] }
    }
}
