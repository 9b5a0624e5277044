//! Rebuilds beside the live read model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cqrs::projection::{ConsumerState, FailurePolicy, ProjectorOptions, RebuildError, Waited};
use cqrs_testing::{Tables, eventually};

use super::fresh::Rows;
use super::{Tally, WITHIN, caught_up, projections, quick, rows, total};
use crate::tally::{Accounts, Knobs, Second, add, add_many, committed_once};

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_a_partial_rebuild_and_appends_continue() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    let options = ProjectorOptions::new().batch(100);
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), options)
        .start()
        .await
        .unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    let last = add_many(&store, 3_000, 7).await;
    caught_up(&running, "accounts", last).await;
    let before = rows(&read, "accounts").await;

    let over = Arc::new(AtomicBool::new(false));
    let reading = {
        let (read, over) = (read.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let (mut seen, mut looks) = (0, 0);
            while !over.load(Ordering::Acquire) {
                let count = total(&read, "accounts").await.0;
                assert!(count >= 3_000 && count >= seen, "{count} rows after {seen}");
                (seen, looks) = (count, looks + 1);
            }
            looks
        })
    };
    let live = live_generation(&read).await;
    running.rebuild("accounts").await.unwrap();
    assert!(matches!(running.rebuild("accounts").await, Err(RebuildError::AlreadyBuilding { .. })));
    let mut last = last;
    let mut progress = Vec::new();
    let mut appended = 0;
    while live_generation(&read).await == live {
        last = add(&store, 1, 1).await;
        appended += 1;
        progress.extend(running.health().await.unwrap().remove(0).rebuild.map(|p| p.done));
    }
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    caught_up(&running, "accounts", last).await;
    over.store(true, Ordering::Release);
    assert!(reading.await.unwrap() > 0);
    assert_eq!(total(&read, "accounts").await.0, 3_000 + appended);
    assert!(progress.is_sorted(), "{progress:?}");
    let after = rows(&read, "accounts").await;
    assert!(
        before.iter().filter(|(key, _)| *key != "account-1").all(|(key, row)| after[key] == *row)
    );
    // A rebuild does not call `committed` for the old events again. If the live generation is held
    // back, the new one may call it for some of the others.
    assert!(committed_once(&knobs).len() >= 3_000);
    assert!(knobs.committed.lock().unwrap().len() <= 3_000 + usize::try_from(appended).unwrap());
}

async fn live_generation(read: &super::fresh::Read) -> Option<u64> {
    use cqrs::projection::ReadStore;
    let records = read.inspect(None).await.unwrap();
    records.first()?.live().map(|live| live.number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_rebuilds_only_that_projector() {
    let (store, read) = super::fresh::stores().await;
    let last = add_many(&store, 200, 3).await;
    let old = projections(&store, &read)
        .projector(<Tally>::new())
        .projector(Tally::<Second>::new())
        .start()
        .await
        .unwrap();
    for name in ["accounts", "second"] {
        caught_up(&old, name, last).await;
    }
    old.stop().await;
    let (first, second): (Arc<Knobs>, Arc<Knobs>) = Default::default();
    let new = projections(&store, &read)
        .projector(Tally::<Accounts, 2>::with(&first))
        .projector(Tally::<Second>::with(&second))
        .start()
        .await
        .unwrap();
    caught_up(&new, "accounts", last).await;
    assert_eq!(first.calls.load(Ordering::Relaxed), 200);
    assert_eq!(second.calls.load(Ordering::Relaxed), 0);
    assert_eq!(total(&read, "accounts").await, (200, 200));
    // A program with the old version does not run.
    new.stop().await;
    let old = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let health = old.health().await.unwrap().remove(0);
    assert_eq!(health.state, ConsumerState::Superseded);
    assert_eq!(total(&read, "accounts").await, (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_rebuilds() {
    let (store, read) = super::fresh::stores().await;
    let last = add_many(&store, 400, 20).await;
    for partitions in [1, 4, 2] {
        let options = ProjectorOptions::new().partitions(partitions);
        let running = projections(&store, &read).projector_with(<Tally>::new(), options);
        let running = running.start().await.unwrap();
        caught_up(&running, "accounts", last).await;
        let health = running.health().await.unwrap().remove(0);
        assert_eq!(health.partitions.len(), partitions as usize);
        assert_eq!(total(&read, "accounts").await, (400, 400));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_continues_after_a_restart_and_can_be_cancelled() {
    let (store, read) = super::fresh::stores().await;
    let last = add_many(&store, 300, 3).await;
    let first = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    caught_up(&first, "accounts", last).await;
    first.stop().await;

    let knobs: Arc<Knobs> = Arc::default();
    knobs.fail(200);
    let stopping = || quick(FailurePolicy::stop()).batch(10);
    let second = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), stopping())
        .start()
        .await
        .unwrap();
    second.rebuild("accounts").await.unwrap();
    let stuck = eventually(WITHIN, || async {
        let health = second.health().await.unwrap().remove(0);
        if health.state == ConsumerState::Stopped { Ok(health) } else { Err("not yet") }
    })
    .await;
    assert_eq!(stuck.rebuild.unwrap().done, 199);
    assert_eq!(stuck.lag, 0, "the live generation is not affected");
    assert_eq!(total(&read, "accounts").await, (300, 300));
    second.stop().await;

    // Continues after its checkpoint.
    let repaired: Arc<Knobs> = Arc::default();
    let third = projections(&store, &read)
        .projector_with(<Tally>::with(&repaired), stopping())
        .start()
        .await
        .unwrap();
    caught_up(&third, "accounts", last).await;
    assert_eq!(repaired.calls.load(Ordering::Relaxed), 101);
    assert_eq!(total(&read, "accounts").await, (300, 300));

    assert!(!third.cancel_rebuild("accounts").await.unwrap());
    *repaired.delay.lock().unwrap() = Duration::from_millis(20);
    third.rebuild("accounts").await.unwrap();
    assert!(third.cancel_rebuild("accounts").await.unwrap());
    assert!(third.health().await.unwrap()[0].rebuild.is_none());
    *repaired.delay.lock().unwrap() = Duration::ZERO;
    let last = add(&store, 1, 1).await;
    caught_up(&third, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (301, 301));
    third.rebuild("accounts").await.unwrap();
    caught_up(&third, "accounts", last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_catches_up_under_constant_appends() {
    let (store, read) = super::fresh::stores().await;
    // Without retries, a transaction that fails because of a swap would stop the projector.
    let policy = FailurePolicy::stop().retries(0);
    let options = ProjectorOptions::new().partitions(3).batch(100).on_failure(policy);
    let knobs: Arc<Knobs> = Arc::default();
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), options)
        .start()
        .await
        .unwrap();
    let last = add_many(&store, 500, 7).await;
    caught_up(&running, "accounts", last).await;
    *knobs.delay.lock().unwrap() = Duration::from_millis(1);
    let live = live_generation(&read).await;
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, over) = (store.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut count = 0;
                while !over.load(Ordering::Acquire) {
                    add(&store, writer, 1).await;
                    count += 1;
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
                count
            })
        })
        .collect();
    running.rebuild("accounts").await.unwrap();
    eventually(WITHIN, || async {
        if live_generation(&read).await == live { Err("not swapped") } else { Ok(()) }
    })
    .await;
    over.store(true, Ordering::Release);
    let mut appended = 0;
    for writer in writers {
        appended += writer.await.unwrap();
    }
    let last = add(&store, 1, 1).await;
    assert_eq!(running.wait_for("accounts", last, WITHIN).await.unwrap(), Waited::CaughtUp);
    assert_eq!(total(&read, "accounts").await.0, 501 + appended);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_nothing_before_the_first_build_is_complete() {
    let (store, read) = super::fresh::stores().await;
    add_many(&store, 50, 3).await;
    let slow: Arc<Knobs> = Arc::default();
    *slow.delay.lock().unwrap() = Duration::from_millis(10);
    let options = ProjectorOptions::new().batch(5);
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&slow), options)
        .start()
        .await
        .unwrap();
    let mut looks = 0;
    let complete = loop {
        match Rows::rows(&read, "accounts").await {
            Some(rows) => break rows,
            None => looks += 1,
        }
        tokio::task::yield_now().await;
    };
    assert!(looks > 0);
    assert_eq!(complete.values().map(|row| row.count).sum::<i64>(), 50);
    running.stop().await;
}
