//! What the benches have in common.

mod effort;
mod filled;
pub(crate) mod report;
pub(crate) mod samples;

pub(crate) use effort::Effort;
#[allow(unused_imports)] // not every bench needs a full log
pub(crate) use filled::filled;
use report::Report;

use cluster::Database;

/// Measures on two threads, and writes down what was measured in full: part of the figures, or
/// quick ones, must not pass for the figures. `name` is that of the bench.
pub(crate) fn run(
    title: &str,
    name: &'static str,
    sections: impl AsyncFnOnce(&Database, &Effort, &mut Report),
) {
    let effort = Effort::from_arguments();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::create().await;
        let mut report = Report::begin(&database, title, name).await;
        sections(&database, &effort, &mut report).await;
        if effort.is_full {
            report.write().await;
        }
    });
}
