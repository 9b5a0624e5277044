//! Every event is projected exactly once and in order.

use std::sync::Arc;

use cqrs::{EventStore, projection::ProjectorOptions};
use cqrs_testing::eventually;

use super::{Rows, Tally, WITHIN, caught_up, projections, rows, total};
use crate::tally::{ByDigit, Knobs, Second, add, add_many, committed_once};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_projected_once_and_in_order() {
    let (store, read) = super::fresh::stores().await;
    add_many(&store, 500, 7).await;
    let knobs: Arc<Knobs> = Arc::default();
    let running = projections(&store, &read).projector(<Tally>::with(&knobs));
    let running = running.start().await.unwrap();
    let last = add_many(&store, 500, 7).await;
    caught_up(&running, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (1_000, 1_000));
    let last = add(&store, 1, 5).await;
    caught_up(&running, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (1_001, 1_005));
    eventually(WITHIN, || async {
        if committed_once(&knobs).contains(&last.get()) { Ok(()) } else { Err("not committed") }
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_continues_after_the_checkpoint() {
    let (store, read) = super::fresh::stores().await;
    let last = add_many(&store, 40, 4).await;
    for round in 0..3 {
        let running = projections(&store, &read).projector(<Tally>::new());
        let running = running.start().await.unwrap();
        caught_up(&running, "accounts", last).await;
        assert_eq!(total(&read, "accounts").await, (40, 40), "round {round}");
        running.stop().await;
    }
    let before = rows(&read, "accounts").await;
    let last = add(&store, 1, 7).await;
    let running = projections(&store, &read).projector(<Tally>::new());
    let running = running.start().await.unwrap();
    caught_up(&running, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (41, 47));
    assert_eq!(rows(&read, "accounts").await["account-0"], before["account-0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_share_the_work_and_keep_the_order_of_keys() {
    let (store, read) = super::fresh::stores().await;
    let options = ProjectorOptions::new().partitions(8).batch(50);
    let running = projections(&store, &read)
        .projector_with(<Tally>::new(), options)
        .projector_with(ByDigit::<Rows>(std::marker::PhantomData), options);
    let running = running.start().await.unwrap();
    for turn in 0..300 {
        add(&store, turn % 17, i64::try_from(turn).unwrap()).await;
    }
    let last = add_many(&store, 1_700, 17).await;
    caught_up(&running, "accounts", last).await;
    caught_up(&running, "by_digit", last).await;
    let sum: i64 = (0..300).sum::<i64>() + 1_700;
    assert_eq!(total(&read, "accounts").await, (2_000, sum));
    assert_eq!(total(&read, "by_digit").await, (2_000, 2_000));
    assert_eq!(rows(&read, "by_digit").await.len(), 10);
    let health = running.health().await.unwrap();
    assert_eq!(health[0].partitions.len(), 8);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_projector_receives_every_event() {
    let (store, read) = super::fresh::stores().await;
    let running =
        projections(&store, &read).projector(<Tally>::new()).projector(Tally::<Second>::new());
    let running = running.start().await.unwrap();
    let last = add_many(&store, 300, 3).await;
    for name in ["accounts", "second"] {
        caught_up(&running, name, last).await;
        assert_eq!(total(&read, name).await, (300, 300));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_other_types_are_skipped_and_counted() {
    let (store, read) = super::fresh::stores().await;
    let running = projections(&store, &read).projector(<Tally>::new());
    let running = running.start().await.unwrap();
    for _ in 0..5 {
        let foreign = cqrs::event::NewEvent::json("other.happened", "{{{not ours").unwrap();
        let stream = crate::tally::account(1);
        let append = cqrs::store::Append::to(stream, cqrs::ExpectedVersion::Any, vec![foreign]);
        store.append(append).await.unwrap();
    }
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    let health = running.health().await.unwrap().remove(0);
    assert_eq!((health.handled, health.passed, health.lag), (1, 5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_full_while_catching_up_and_never_delayed_at_the_head() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    let last = add_many(&store, 5, 1).await;
    let running = projections(&store, &read)
        .projector_with(<Tally>::with(&knobs), ProjectorOptions::new().batch(2))
        .start()
        .await
        .unwrap();
    caught_up(&running, "accounts", last).await;
    assert_eq!(*knobs.batches.lock().unwrap(), [2, 2, 1]);
    // At the head a single event is a batch.
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    assert_eq!(*knobs.batches.lock().unwrap(), [2, 2, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_projector_delays_no_other() {
    let (store, read) = super::fresh::stores().await;
    let slow: Arc<Knobs> = Arc::default();
    *slow.delay.lock().unwrap() = std::time::Duration::from_secs(3_600);
    let running = projections(&store, &read)
        .projector(<Tally>::with(&slow))
        .projector(Tally::<Second>::new())
        .start()
        .await
        .unwrap();
    for name in ["accounts", "second"] {
        assert!(running.wait_until_built(name, WITHIN).await.unwrap());
    }
    let last = add_many(&store, 2_000, 5).await;
    caught_up(&running, "second", last).await;
    assert_eq!(total(&read, "second").await, (2_000, 2_000));
    assert_eq!(slow.calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    let lags: Vec<_> = running.health().await.unwrap().iter().map(|health| health.lag).collect();
    assert_eq!(lags, [2_000, 0]);
    // Stopping would take an hour. Dropping does not wait.
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_cannot_have_the_same_name() {
    let (store, read) = super::fresh::stores().await;
    let twice = projections(&store, &read).projector(<Tally>::new()).projector(<Tally>::new());
    let error = twice.start().await.unwrap_err();
    assert!(matches!(error, cqrs::projection::StartError::DuplicateName { .. }), "{error}");
}
