//! The runtime that cases run on.

use tokio::runtime::{Builder, Runtime};

/// Creates a runtime with more threads than most machines have cores, so that concurrent tasks
/// overlap.
pub(crate) fn on_many_threads() -> Runtime {
    match Builder::new_multi_thread().worker_threads(4).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("cannot start a runtime: {error}"),
    }
}
