//! A crash at every step.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cqrs_core::store::{StoreError, StoreErrorKind};
use tokio::sync::Notify;

/// Where a run dies. Handed to the stores of a scenario, which tell it of each step.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Which step is the last one; 0 when none is.
    last: usize,
    taken: AtomicUsize,
    named: Mutex<String>,
    died: Notify,
}

impl CrashPoint {
    fn at(last: usize) -> Self {
        let (taken, named, died) = (AtomicUsize::new(0), Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { last, taken, named, died }) }
    }

    /// A step of a store, by its name: called before what it does and after it.
    ///
    /// # Errors
    /// From the step on at which the run dies: the store does not answer any more. Not again once
    /// the scenario has been started anew.
    pub fn step(&self, name: impl fmt::Debug) -> Result<(), StoreError> {
        let Shared { last, taken, named, died } = &*self.shared;
        if *last == 0 {
            taken.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        let now = taken.load(Ordering::Acquire);
        if now == usize::MAX {
            return Ok(());
        }
        let now = if now >= *last { now } else { taken.fetch_add(1, Ordering::AcqRel) + 1 };
        if now < *last {
            return Ok(());
        }
        let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.is_empty() {
            *named = format!("{name:?}");
        }
        died.notify_one();
        Err(StoreError::new(StoreErrorKind::Unavailable, "the process has crashed"))
    }

    /// For what a scenario chooses at random: the same in each run, [`CRASH_SEED`] from the
    /// environment or 1. Told with a failure.
    ///
    /// [`CRASH_SEED`]: crash_at_every_step
    #[must_use]
    pub fn seed(&self) -> u64 {
        seed()
    }

    fn name(&self) -> Option<String> {
        let named = self.shared.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(named).filter(|named| !named.is_empty())
    }

    /// From here on stores answer again.
    fn over(&self) {
        if self.shared.last > 0 {
            self.shared.taken.store(usize::MAX, Ordering::Release);
        }
    }
}

/// What [`crash_at_every_step`] has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survived {
    /// How many steps the undisturbed scenario takes.
    pub steps: usize,
    /// How many runs died.
    pub crashes: usize,
    /// The end they all came to.
    pub end: String,
}

/// Runs a scenario undisturbed, then once for each of its steps, killed there: everything that runs
/// is dropped where it stands, and the scenario is started anew on what was stored. Each must come
/// to the same end.
///
/// - `world` makes the stores, which tell the [`CrashPoint`] of their steps, before each takes
///   effect and after it: so a run dies once on each side. They outlive the crash.
/// - `run` starts the application and does what the scenario is about. From the crash on it is not
///   polled any more.
/// - `rest` starts the application anew, runs to rest, checks what must hold, and says how
///   everything stands, in words that are the same for the same end.
///
/// Each runs on a runtime of its own whose time passes by itself when everybody waits, so a run
/// takes milliseconds. Leases of the run that died must be over: give the stores a
/// [`ManualClock`](crate::ManualClock) and advance it in `rest`.
///
/// The environment variable `CRASH_SEED` sets [`CrashPoint::seed`].
///
/// # Panics
/// When a run ends otherwise than the undisturbed one, or `rest` panics: with the step, what it was
/// and the seed.
pub fn crash_at_every_step<W>(
    world: impl Fn(&CrashPoint) -> W,
    run: impl AsyncFn(&W),
    rest: impl AsyncFn(&W) -> String,
) -> Survived {
    let undisturbed = CrashPoint::at(0);
    let first = world(&undisturbed);
    on_runtime(async { run(&first).await });
    let steps = undisturbed.shared.taken.load(Ordering::Acquire);
    let end = on_runtime(async { rest(&first).await });
    let mut crashes = 0;
    for last in 1..=steps {
        let point = CrashPoint::at(last);
        let world = world(&point);
        on_runtime(async {
            tokio::select! {
                () = run(&world) => {}
                () = point.shared.died.notified() => {}
            }
        });
        point.over();
        let name = point.name();
        crashes += usize::from(name.is_some());
        let name = name.unwrap_or_else(|| "none: it took fewer steps".to_owned());
        let told = format!("after a crash at step {last} of {steps}, {name}; seed {}", seed());
        let ended = catch_unwind(AssertUnwindSafe(|| on_runtime(async { rest(&world).await })));
        match ended {
            Ok(ended) => {
                assert_eq!(ended, end, "{told}");
            }
            Err(panic) => {
                eprintln!("{told}");
                resume_unwind(panic);
            }
        }
    }
    Survived { steps, crashes, end }
}

/// Dropped at its end, with everything that still runs on it.
fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    match runtime.enable_all().start_paused(true).build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => panic!("no runtime: {error}"),
    }
}

fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
