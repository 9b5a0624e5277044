//! What the benches share.

mod deposited;
mod effort;
mod filled;
pub(crate) mod report;
pub(crate) mod samples;

#[allow(unused_imports)] // not every bench reads typed events
pub(crate) use deposited::Deposited;
pub(crate) use effort::Effort;
#[allow(unused_imports)] // not every bench needs a full log
pub(crate) use filled::filled;
use report::Report;

use cluster::Database;

/// Runs the sections of the bench `name` on two threads. Only a full run writes its results: quick or
/// partial figures must not be mistaken for them.
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
