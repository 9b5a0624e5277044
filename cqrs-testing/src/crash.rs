//! A crash at every step.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cqrs_core::store::{StoreError, StoreErrorKind};
use tokio::sync::Notify;

/// The step at which a run crashes. The stores of a scenario report each step to it; see
/// [`crash_at_every_step`].
#[derive(Clone, Debug)]
pub struct CrashPoint {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The step that crashes; 0 if none does.
    last: usize,
    taken: AtomicUsize,
    named: Mutex<String>,
    crashed: Notify,
}

impl CrashPoint {
    fn at(last: usize) -> Self {
        let (taken, named, crashed) = (AtomicUsize::new(0), Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { last, taken, named, crashed }) }
    }

    /// Reports a step of a store, by its name: once before it takes effect and once after it.
    ///
    /// # Errors
    /// Fails from the step that crashes until the scenario is started again. The store must return
    /// the error to its caller.
    pub fn step(&self, name: impl fmt::Debug) -> Result<(), StoreError> {
        let Shared { last, taken, named, crashed } = &*self.shared;
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
        crashed.notify_one();
        Err(StoreError::new(StoreErrorKind::Unavailable, "the process has crashed"))
    }

    /// Returns a seed for the random choices of a scenario. It is the same in each run and part of
    /// the message of a failure. Default: 1, or the environment variable `CRASH_SEED`.
    #[must_use]
    pub fn seed(&self) -> u64 {
        seed()
    }

    fn name(&self) -> Option<String> {
        let named = self.shared.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(named).filter(|named| !named.is_empty())
    }

    /// Lets the stores work again.
    fn over(&self) {
        if self.shared.last > 0 {
            self.shared.taken.store(usize::MAX, Ordering::Release);
        }
    }
}

/// The result of [`crash_at_every_step`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survived {
    /// The number of steps of the scenario without a crash.
    pub steps: usize,
    /// The number of runs that crashed.
    pub crashes: usize,
    /// The final state, which is the same for all runs.
    pub end: String,
}

/// Runs a scenario without a crash, then once for each of its steps with a crash there: everything
/// that runs is dropped, and the scenario is started again on the same stores. Every run must reach
/// the same final state.
///
/// - `world` creates the stores, which report their steps to the [`CrashPoint`]. Each step is
///   reported before and after it takes effect, so a run crashes once on each side. The stores
///   outlive the crash.
/// - `run` starts the application and runs the scenario. It is not polled after the crash.
/// - `rest` starts the application again, completes the scenario, checks the invariants and returns
///   a description of the final state, which is compared between the runs.
///
/// Each run has its own runtime with a paused clock, so waiting takes no time. If the scenario uses
/// leases, give the stores a [`ManualClock`](crate::ManualClock) and advance it in `rest`, so that
/// the leases of the crashed run expire.
///
/// ```
/// use cqrs::{Aggregate, App, Command, CommandId, Event, aggregate, event::Uuid};
/// use cqrs::memory::MemoryStore;
/// use cqrs_testing::crash_at_every_step;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Show, id = show)]
/// struct Sell { show: String, seats: u32 }
///
/// #[derive(Event)]
/// #[event(name = "show.seats-sold")]
/// struct SeatsSold { seats: u32 }
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("sold out")]
/// struct SoldOut;
///
/// #[derive(Default)]
/// struct Show { sold: u32 }
///
/// #[aggregate(category = "show", id = String)]
/// impl Aggregate for Show {
///     fn execute(&self, Sell { seats, .. }: Sell) -> Result<Vec<SeatsSold>, SoldOut> {
///         if self.sold + seats > 10 { Err(SoldOut) } else { Ok(vec![SeatsSold { seats }]) }
///     }
///
///     fn apply(&mut self, event: &SeatsSold) {
///         self.sold += event.seats;
///     }
/// }
///
/// /// Three customers order four seats each. After a crash they repeat their orders.
/// async fn sell(store: &MemoryStore) {
///     let app = App::new(store.clone());
///     for order in 1..=3 {
///         let id = CommandId::from(Uuid::from_u128(order));
///         let _ = app.dispatch(Sell { show: "hamlet".into(), seats: 4 }).command_id(id).await;
///     }
/// }
///
/// let survived = crash_at_every_step(
///     |crash| {
///         let crash = crash.clone();
///         MemoryStore::builder().on_step(move |step| crash.step(step)).build()
///     },
///     sell,
///     async |store| {
///         sell(store).await;
///         let show = App::new(store.clone()).load::<Show>(&"hamlet".to_owned()).await.unwrap();
///         // No seat is sold twice, and no order counts twice.
///         assert!(show.state().sold <= 10);
///         format!("{} seats sold", show.state().sold)
///     },
/// );
/// assert_eq!(survived.end, "8 seats sold");
/// assert!(survived.crashes > 10);
/// ```
///
/// # Panics
/// Panics if a run reaches another final state than the one without a crash, or if `rest` panics.
/// The message contains the step, its name and the seed.
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
                () = point.shared.crashed.notified() => {}
            }
        });
        point.over();
        let name = point.name();
        crashes += usize::from(name.is_some());
        let name = name.unwrap_or_else(|| "not reached".to_owned());
        let context = format!("after a crash at step {last} of {steps} ({name}), seed {}", seed());
        let ended = catch_unwind(AssertUnwindSafe(|| on_runtime(async { rest(&world).await })));
        match ended {
            Ok(ended) => {
                assert_eq!(ended, end, "{context}");
            }
            Err(panic) => {
                eprintln!("{context}");
                resume_unwind(panic);
            }
        }
    }
    Survived { steps, crashes, end }
}

/// Runs work on its own runtime, which is dropped afterwards with all of its tasks.
fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    match runtime.enable_all().start_paused(true).build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => panic!("cannot start a runtime: {error}"),
    }
}

fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
