//! Several processes on one log.

use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::Database;
use cqrs_postgres::PgStore;

use crate::report::{Report, Target};
use crate::samples::Spread;
use crate::{Effort, append};

const CHILD: &str = "STORE_BENCH_CHILD";

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs one of the processes and prints the appends per second of its 32 callers.
pub(crate) fn child() {
    let arguments = std::env::var(CHILD).unwrap();
    let (millis, url) = arguments.split_once(' ').unwrap();
    let duration = Duration::from_millis(millis.parse().unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rate = runtime.block_on(async {
        let store = PgStore::connect(url).await.unwrap();
        append::callers(&store, 32, 1, duration).await.per_second
    });
    println!("{rate}");
}

pub(crate) async fn measure(database: &Database, effort: &Effort, report: &mut Report) {
    report.section("Total throughput of several processes with 32 callers each on one log");
    let mut sums = vec![Vec::new(); 3];
    for _ in 0..effort.rounds {
        for (sums, processes) in sums.iter_mut().zip([1, 2, 4]) {
            sums.push(together(database, processes, effort.duration * 2).await);
        }
    }
    for (at, processes) in [(1, 2), (2, 4)] {
        let ratios = sums[at].iter().zip(&sums[0]).map(|(many, one)| many / one);
        let what = format!(
            "{processes} processes: {:.0}/s (one: {:.0})",
            Spread::of(sums[at].clone()).median,
            Spread::of(sums[0].clone()).median
        );
        report.ratio(&what, Spread::of(ratios), Some(Target::AtLeast(0.9)));
    }
}

async fn together(database: &Database, processes: usize, duration: Duration) -> f64 {
    let arguments = format!("{} {}", duration.as_millis(), database.url());
    let children: Vec<_> = (0..processes)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .env(CHILD, &arguments)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs = tokio::task::spawn_blocking(move || {
        children.into_iter().map(|child| child.wait_with_output().unwrap()).collect::<Vec<_>>()
    });
    let outputs = outputs.await.unwrap();
    outputs.iter().map(|o| String::from_utf8_lossy(&o.stdout).trim().parse::<f64>().unwrap()).sum()
}
