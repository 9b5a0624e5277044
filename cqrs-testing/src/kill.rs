//! Real processes, killed at many moments.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What [`kill_at_many_moments`] has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Killed {
    /// How long the undisturbed program ran.
    pub took: Duration,
    /// How many were killed; the others had ended before their moment came.
    pub kills: usize,
    /// The end they all came to.
    pub end: String,
}

/// Runs a program undisturbed, then so many times more, each killed at another moment between its
/// start and its end, without a chance to say good-bye, and started once more to go on. Each must
/// come to the same end. The slower form of
/// [`crash_at_every_step`](crate::crash_at_every_step): with real processes and real stores, at
/// moments instead of steps.
///
/// - `world` makes a place of its own for each: a schema of a database, an empty folder.
/// - `run` is the program that carries out the scenario there, from where it stopped, and ends with
///   success.
/// - `rest` checks what must hold then, and says how everything stands, in words that are the same
///   for the same end.
///
/// # Panics
/// When a program cannot be started, ends without success, or comes to another end: with the
/// moment.
pub fn kill_at_many_moments<W>(
    moments: u32,
    world: impl Fn() -> W,
    run: impl Fn(&W) -> Command,
    rest: impl Fn(&W) -> String,
) -> Killed {
    let first = world();
    let start = Instant::now();
    to_its_end(run(&first), "undisturbed");
    let took = start.elapsed();
    let end = rest(&first);
    let mut kills = 0;
    for moment in 1..=moments {
        let world = world();
        let after = took * moment / (moments + 1);
        kills += usize::from(killed(run(&world), after));
        let told = format!("killed after {after:?}, moment {moment} of {moments}");
        to_its_end(run(&world), &told);
        assert_eq!(rest(&world), end, "{told}");
    }
    Killed { took, kills, end }
}

fn to_its_end(mut program: Command, told: &str) {
    match program.status() {
        Ok(status) => assert!(status.success(), "{status} ({told}): {program:?}"),
        Err(error) => panic!("{program:?}: {error}"),
    }
}

/// Whether it still ran.
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
    // It may have ended by itself in between.
    let _ = child.kill();
    let _ = child.wait();
    runs
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|status| status.is_some())
}
