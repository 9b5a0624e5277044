//! Callers that repeat an operation until they are stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::samples::Sample;

/// Stops callers after `duration`, and returns their latencies as one sample.
pub(crate) async fn stop_after(
    duration: Duration,
    stop: &AtomicBool,
    callers: Vec<JoinHandle<Vec<Duration>>>,
) -> Sample {
    let start = Instant::now();
    tokio::time::sleep(duration).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.unwrap());
    }
    Sample::of(latencies, start.elapsed())
}
