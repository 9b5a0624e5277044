//! Real processes, killed at many moments.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The result of [`kill_at_many_moments`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Killed {
    /// How long the program takes if it is not killed.
    pub took: Duration,
    /// The number of runs in which the program was killed; in the others it had already ended.
    pub kills: usize,
    /// The final state, which is the same for all runs.
    pub end: String,
}

/// Runs a program to completion, then `moments` times more: each time it is killed at another
/// moment and started again. Every run must reach the same final state.
///
/// This is the slower form of [`crash_at_every_step`](crate::crash_at_every_step), with real
/// processes and real stores, at moments in time instead of steps.
///
/// - `world` creates a separate place for each run, for example a database schema or an empty
///   folder.
/// - `run` returns the program, which starts the scenario there or continues it, and exits with
///   success when the scenario is complete.
/// - `rest` checks the invariants and returns a description of the final state, which is compared
///   between the runs.
///
/// ```no_run
/// use std::path::PathBuf;
/// use std::process::Command;
///
/// use cqrs_testing::kill_at_many_moments;
/// # fn temporary_folder() -> PathBuf { PathBuf::new() }
/// # fn balances(folder: &PathBuf) -> Vec<i64> { vec![] }
///
/// let killed = kill_at_many_moments(
///     20,
///     temporary_folder,
///     |folder| {
///         let mut program = Command::new("target/debug/bank");
///         program.arg("--data").arg(folder);
///         program
///     },
///     |folder| {
///         let balances = balances(folder);
///         assert_eq!(balances.iter().sum::<i64>(), 15_000);
///         format!("{balances:?}")
///     },
/// );
/// println!("{} kills, final state {}", killed.kills, killed.end);
/// ```
///
/// # Panics
/// Panics if the program cannot be started, fails, or reaches another final state. The message
/// contains the moment.
pub fn kill_at_many_moments<W>(
    moments: u32,
    world: impl Fn() -> W,
    run: impl Fn(&W) -> Command,
    rest: impl Fn(&W) -> String,
) -> Killed {
    let first = world();
    let start = Instant::now();
    to_completion(run(&first), "not killed");
    let took = start.elapsed();
    let end = rest(&first);
    let mut kills = 0;
    for moment in 1..=moments {
        let world = world();
        let after = took * moment / (moments + 1);
        kills += usize::from(killed(run(&world), after));
        let context = format!("killed after {after:?}, moment {moment} of {moments}");
        to_completion(run(&world), &context);
        assert_eq!(rest(&world), end, "{context}");
    }
    Killed { took, kills, end }
}

fn to_completion(mut program: Command, context: &str) {
    match program.status() {
        Ok(status) => assert!(status.success(), "{status} ({context}): {program:?}"),
        Err(error) => panic!("{program:?}: {error}"),
    }
}

/// Kills a program after a time; returns `true` if it was still running.
fn killed(mut program: Command, after: Duration) -> bool {
    let mut child = match program.spawn() {
        Ok(child) => child,
        Err(error) => panic!("{program:?}: {error}"),
    };
    let until = Instant::now() + after;
    while Instant::now() < until {
        if has_ended(&mut child) {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let runs = !has_ended(&mut child);
    // This fails if the program has ended since, which does not matter.
    let _ = child.kill();
    let _ = child.wait();
    runs
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|status| status.is_some())
}
