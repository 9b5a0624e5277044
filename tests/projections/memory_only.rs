//! Faults at every step of the memory read store.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cqrs::{
    projection::{InlineStore, ProjectorOptions, RebuildError, Waited},
    store::{StoreError, StoreErrorKind},
};
use cqrs_memory::{MemoryReadStore, MemoryStore, Step};
use cqrs_testing::Tables;
use futures_util::FutureExt;

use crate::rows::MemoryTables;
use crate::tally::{Accounts, Tally, add, add_many};

const WITHIN: Duration = Duration::from_secs(60);

/// Counts steps, and fails at one of them.
#[derive(Clone, Default)]
struct Plan {
    steps: Arc<AtomicUsize>,
    fails_at: Arc<AtomicUsize>,
    armed: Arc<AtomicBool>,
}

impl Plan {
    fn read_store(&self) -> MemoryReadStore {
        let plan = self.clone();
        MemoryReadStore::builder().on_step(move |step| plan.step(step)).build()
    }

    fn step(&self, step: Step) -> Result<(), StoreError> {
        // The number of heartbeats and queries depends on timing.
        let counts = matches!(
            step,
            Step::BeforeLease
                | Step::BeforeProjection
                | Step::BeforeProjectionCommit
                | Step::AfterProjectionCommit
                | Step::BeforeSwap
                | Step::AfterSwap
        );
        if !counts || !self.armed.load(Ordering::Acquire) {
            return Ok(());
        }
        let now = self.steps.fetch_add(1, Ordering::AcqRel) + 1;
        if now == self.fails_at.load(Ordering::Acquire) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, format!("at {step:?}")));
        }
        Ok(())
    }
}

/// Projects 60 events, some of them in a rebuild, and returns the rows at the end.
async fn run(plan: &Plan) -> String {
    let (store, read) = (MemoryStore::new(), plan.read_store());
    let options = ProjectorOptions::new().batch(7).partitions(2);
    let projector = || Tally::<MemoryTables, Accounts, 1>::new();
    let start = || {
        cqrs::Projections::builder_over(store.clone(), read.clone())
            .lease(Duration::from_millis(100))
            .projector_with(projector(), options)
            .start()
    };
    add_many(&store, 30, 4).await;
    let running = start().await.unwrap();
    plan.armed.store(true, Ordering::Release);
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    let last = add_many(&store, 30, 4).await;
    // The operator repeats a request that failed. It may have taken effect.
    if running.rebuild("accounts").await.is_err() {
        match running.rebuild("accounts").await {
            Ok(()) | Err(RebuildError::AlreadyBuilding { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    let waited = running.wait_for("accounts", last, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
    plan.armed.store(false, Ordering::Release);
    running.stop().await;
    format!("{:?}", MemoryTables::rows(&read, "accounts").await)
}

#[tokio::test]
async fn a_fault_at_any_step_does_not_change_the_result() {
    let undisturbed = Plan::default();
    let expected = run(&undisturbed).await;
    assert!(expected.contains("disorder: 0") && !expected.contains("disorder: 1"), "{expected}");
    let steps = undisturbed.steps.load(Ordering::Acquire);
    assert!(steps > 30, "only {steps} steps");
    // Retries add steps at which a fault can occur.
    let mut hits = 0;
    for fails_at in 1..steps + 20 {
        let plan = Plan::default();
        plan.fails_at.store(fails_at, Ordering::Release);
        let seen = run(&plan).await;
        assert_eq!(seen, expected, "with a fault at step {fails_at}");
        hits += usize::from(plan.steps.load(Ordering::Acquire) >= fails_at);
    }
    assert!(hits >= steps / 2, "only {hits} of {steps} faults occurred");
}

#[tokio::test(start_paused = true)]
async fn ten_idle_projectors_send_at_most_ten_queries_a_second() {
    let queries = Arc::new(AtomicUsize::new(0));
    let count = || {
        let queries = Arc::clone(&queries);
        move |_: Step| {
            queries.fetch_add(1, Ordering::AcqRel);
            Ok(())
        }
    };
    let store = MemoryStore::builder().on_step(count()).build();
    let read = MemoryReadStore::builder().on_step(count()).build();
    let mut running = Vec::new();
    // Ten partitions in one node: five projectors with one each, one projector with five.
    macro_rules! five {
        ($builder:ident, $($version:literal)*) => {{
            $(let $builder = $builder.projector(Idle::<$version>);)*
            $builder
        }};
    }
    let builder = cqrs::Projections::builder_over(store.clone(), read.clone());
    let builder = five!(builder, 1 2 3 4 5);
    let options = ProjectorOptions::new().partitions(5);
    let projector = Tally::<MemoryTables, Accounts, 1>::new();
    running.push(builder.projector_with(projector, options).start().await.unwrap());
    let last = add_many(&store, 30, 4).await;
    let all = running[0].waiter([]).unwrap();
    for name in ["accounts", "idle_1", "idle_5"] {
        assert!(running[0].wait_until_built(name, WITHIN).await.unwrap());
    }
    assert_eq!(all.wait(last, WITHIN).await, Waited::CaughtUp);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = queries.load(Ordering::Acquire);
    tokio::time::sleep(Duration::from_secs(100)).await;
    let sent = queries.load(Ordering::Acquire) - before;
    println!("{sent} queries in 100 s");
    assert!(sent <= 10 * 100, "{sent} queries in 100 seconds");
    assert!(sent >= 100, "no heartbeats");
}

/// A projector with another name for each number.
struct Idle<const N: u32>;

impl<const N: u32> cqrs::ReadModel for Idle<N> {
    type Event = crate::tally::Moved;
    const NAME: &'static str = match N {
        1 => "idle_1",
        2 => "idle_2",
        3 => "idle_3",
        4 => "idle_4",
        _ => "idle_5",
    };
    const VERSION: u32 = 1;
}

impl<const N: u32> cqrs::Projector<MemoryReadStore> for Idle<N> {
    async fn create(
        &self,
        _: &mut cqrs_memory::MemoryTransaction,
    ) -> Result<(), cqrs::projection::ProjectError> {
        Ok(())
    }

    async fn project(
        &self,
        _: &mut cqrs_memory::MemoryTransaction,
        _: &cqrs::Recorded<crate::tally::Moved>,
    ) -> Result<(), cqrs::projection::ProjectError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_inline_append_that_loses_a_race_is_planned_again() {
    let (this, armed) = (Arc::new(OnceLock::<MemoryStore>::new()), Arc::new(AtomicBool::default()));
    let store = {
        let (this, armed) = (Arc::clone(&this), Arc::clone(&armed));
        let step = move |step| {
            if step == Step::DuringAppend && armed.swap(false, Ordering::AcqRel) {
                // Another append commits between the plan and its commit.
                add(this.get().unwrap(), 1, 5).now_or_never().unwrap();
            }
            Ok(())
        };
        MemoryStore::builder().on_step(step).build()
    };
    this.set(store.clone()).unwrap();
    let read = MemoryReadStore::new();
    let projector = Tally::<MemoryTables, Accounts, 1>::new();
    let inline =
        InlineStore::builder(store.clone(), read.clone()).projector(projector).open().await;
    let inline = inline.unwrap();
    armed.store(true, Ordering::Release);
    let position = add(&inline, 1, 1).await;
    assert_eq!(position, cqrs::Position::new(2));
    let row = MemoryTables::rows(&read, "accounts").await.unwrap()["account-1"];
    assert_eq!((row.count, row.sum, row.last, row.disorder), (2, 6, 2, 0));
}
