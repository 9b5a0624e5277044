//! Several nodes share the work.

use std::sync::Arc;
use std::time::Duration;

use cqrs::projection::{
    Projections,
    store::{Capability, Partition},
};
use cqrs::{
    EventStore, ExpectedVersion,
    projection::{ProjectorOptions, ReadStore},
    store::Append,
};
use cqrs_testing::eventually;

use super::fresh::{Read, Store};
use super::{Tally, WITHIN, caught_up, projections, total};
use crate::tally::{Knobs, account, add, add_many};

async fn node(store: &Store, read: &Read, knobs: &Arc<Knobs>) -> Projections {
    let options = ProjectorOptions::new().partitions(6).batch(20);
    projections(store, read).projector_with(<Tally>::with(knobs), options).start().await.unwrap()
}

/// Waits until the nodes have these numbers of partitions.
async fn spread(running: &Projections, expected: &[usize]) {
    eventually(WITHIN, || async {
        let health = running.health().await.unwrap().remove(0);
        let mut counts = std::collections::BTreeMap::new();
        for owner in health.partitions.iter().filter_map(|partition| partition.owner) {
            *counts.entry(owner).or_insert(0) += 1;
        }
        let mut counts: Vec<usize> = counts.into_values().collect();
        counts.sort_unstable();
        if counts == expected { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_when_nodes_join_and_leave() {
    let (store, read) = super::fresh::stores().await;
    let knobs: [Arc<Knobs>; 3] = Default::default();
    let first = node(&store, &read, &knobs[0]).await;
    let mut last = add_many(&store, 300, 13).await;
    caught_up(&first, "accounts", last).await;
    spread(&first, &[6]).await;
    let second = node(&store, &read, &knobs[1]).await;
    spread(&first, &[3, 3]).await;
    let third = node(&store, &read, &knobs[2]).await;
    spread(&first, &[2, 2, 2]).await;
    last = add_many(&store, 300, 13).await.max(last);
    caught_up(&second, "accounts", last).await;
    second.stop().await;
    spread(&first, &[3, 3]).await;
    third.stop().await;
    spread(&first, &[6]).await;
    let last = add(&store, 1, 1).await;
    caught_up(&first, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (601, 601));
    // Each event was committed by one node.
    let committed: usize = knobs.iter().map(|knobs| knobs.committed.lock().unwrap().len()).sum();
    assert!(committed <= 601, "{committed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_over_and_projects_nothing_twice() {
    let (store, read) = super::fresh::stores().await;
    let (first_knobs, second_knobs): (Arc<Knobs>, Arc<Knobs>) = Default::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = {
        let (store, read, knobs) = (store.clone(), read.clone(), Arc::clone(&first_knobs));
        let first = async move {
            let (store, read) = super::fresh::elsewhere(&store, &read).await;
            node(&store, &read, &knobs).await
        };
        runtime.spawn(first).await.unwrap()
    };
    let mut last = add_many(&store, 100, 9).await;
    caught_up(&first, "accounts", last).await;
    let second = node(&store, &read, &second_knobs).await;
    *first_knobs.delay.lock().unwrap() = Duration::from_millis(5);
    for _ in 0..5 {
        last = add_many(&store, 40, 9).await;
    }
    // All its tasks are aborted, as if the program were killed.
    runtime.shutdown_background();
    caught_up(&second, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (300, 300));
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_the_batch_and_saves_the_checkpoint() {
    let (store, read) = super::fresh::stores().await;
    for round in 1..=5_u64 {
        let knobs: Arc<Knobs> = Arc::default();
        *knobs.delay.lock().unwrap() = Duration::from_millis(1);
        let running = node(&store, &read, &knobs).await;
        add_many(&store, 60, 9).await;
        // Stop in the middle.
        eventually(WITHIN, || async {
            let calls = knobs.calls.load(std::sync::atomic::Ordering::Relaxed);
            if calls >= 10 { Ok(()) } else { Err(format!("{calls} calls in round {round}")) }
        })
        .await;
        running.stop().await;
        let calls = knobs.calls.load(std::sync::atomic::Ordering::Relaxed);
        tokio::task::yield_now().await;
        assert_eq!(
            knobs.calls.load(std::sync::atomic::Ordering::Relaxed),
            calls,
            "calls after the stop"
        );
    }
    let running = node(&store, &read, &Arc::default()).await;
    let last = add(&store, 1, 1).await;
    caught_up(&running, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (301, 301));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_saves_the_position_after_skipped_events() {
    let (store, read) = super::fresh::stores().await;
    // A heartbeat would save it too, so the lease is long.
    let running = Projections::builder_over(store.clone(), read.clone())
        .lease(WITHIN * 60)
        .projector(<Tally>::new())
        .start()
        .await
        .unwrap();
    let own = add(&store, 1, 1).await;
    caught_up(&running, "accounts", own).await;
    let foreign = cqrs::event::NewEvent::json("other.happened", "x").unwrap();
    let append = Append::to(account(1), ExpectedVersion::Any, vec![foreign]);
    let last = store.append(append).await.unwrap().position();
    caught_up(&running, "accounts", last).await;
    running.stop().await;
    let record = read.inspect(None).await.unwrap().remove(0);
    assert_eq!(record.live().unwrap().position(), last);
}

/// As if a release failed, or the answer to an acquisition was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_its_owner_does_not_run_is_released() {
    let (store, read) = super::fresh::stores().await;
    let first = node(&store, &read, &Arc::default()).await;
    let last = add_many(&store, 100, 50).await;
    caught_up(&first, "accounts", last).await;
    let second = node(&store, &read, &Arc::default()).await;
    spread(&first, &[3, 3]).await;
    let record = read.inspect(None).await.unwrap().remove(0);
    let live = record.live().unwrap();
    let (one, other) = (live.partitions[0].owner.unwrap(), live.partitions[5].owner.unwrap());
    assert_ne!(one, other);
    let capability = Capability { consumer: record.name.clone(), version: 1, inline: false };
    let partition =
        Partition { consumer: capability.consumer.clone(), generation: live.number, number: 5 };
    read.leave(other).await.unwrap();
    read.acquire(one, &partition).await.unwrap().expect("the partition is free");
    read.heartbeat(other, Duration::from_secs(1), &[capability], &[]).await.unwrap();
    // The node has its share without this partition, so the other node should get it.
    let last = add_many(&store, 100, 50).await;
    caught_up(&second, "accounts", last).await;
    spread(&first, &[3, 3]).await;
    assert_eq!(total(&read, "accounts").await, (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_stops_the_node() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    let first = node(&store, &read, &knobs).await;
    let last = add(&store, 1, 1).await;
    caught_up(&first, "accounts", last).await;
    drop(first);
    let second = node(&store, &read, &Arc::default()).await;
    // Released at once, not after the lease.
    let last = add(&store, 1, 1).await;
    caught_up(&second, "accounts", last).await;
    assert_eq!(total(&read, "accounts").await, (2, 2));
}
