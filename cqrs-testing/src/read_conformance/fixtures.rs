//! Shorthand for the cases.

use std::collections::BTreeMap;
use std::time::Duration;

use cqrs_core::{
    Position,
    projection::store::{
        Capability, CommitError, ConsumerName, ConsumerRecord, LeaseError, Partition,
        PartitionLease, ReadStore, Swap,
    },
};
use uuid::Uuid;

use crate::tables::{Row, Tables};

/// A lease that does not expire during a test.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) fn node() -> Uuid {
    Uuid::now_v7()
}

pub(super) fn name(name: &str) -> ConsumerName {
    ConsumerName::new(name).unwrap()
}

pub(super) fn at(position: u64) -> Position {
    Position::new(position)
}

pub(super) fn capability(projector: &ConsumerName, version: u32) -> Capability {
    Capability { consumer: projector.clone(), version, inline: false }
}

pub(super) async fn alive<S: ReadStore>(store: &S, node: Uuid, lease: Duration) {
    store.heartbeat(node, lease, &[], &[]).await.unwrap();
}

/// Creates a generation with an empty table.
pub(super) async fn begin_generation<T: Tables>(
    store: &T::Store,
    projector: &ConsumerName,
    version: u32,
    partitions: u32,
) -> u64 {
    let mut new = store
        .new_generation(projector, version, partitions, Position::START)
        .await
        .unwrap()
        .unwrap();
    T::create(&mut new.tx).await.unwrap();
    let number = new.number;
    store.commit_new(new.tx).await.unwrap();
    number
}

/// Creates an empty live generation with one partition.
pub(super) async fn live<T: Tables>(store: &T::Store, projector: &ConsumerName) -> u64 {
    let generation = begin_generation::<T>(store, projector, 1, 1).await;
    assert_eq!(store.swap(projector, generation).await.unwrap(), Swap::Done);
    generation
}

pub(super) fn partition(projector: &ConsumerName, generation: u64, number: u32) -> Partition {
    Partition { consumer: projector.clone(), generation, number }
}

pub(super) async fn lease<S: ReadStore>(
    store: &S,
    node: Uuid,
    partition: &Partition,
) -> PartitionLease {
    store.acquire(node, partition).await.unwrap().expect("the partition is free")
}

/// Adds amounts to the key `a` and moves the checkpoint.
pub(super) async fn write<T: Tables>(
    store: &T::Store,
    lease: &PartitionLease,
    amounts: &[i64],
    through: u64,
) {
    let mut tx = store.begin(lease).await.unwrap();
    for amount in amounts {
        T::add(&mut tx, "a", *amount, through).await.unwrap();
    }
    store.commit(tx, lease, at(through)).await.unwrap();
}

/// Returns the sum of the key `a`.
pub(super) async fn sum<T: Tables>(store: &T::Store, projector: &ConsumerName) -> Option<i64> {
    let rows: BTreeMap<String, Row> = T::rows(store, projector.as_str()).await?;
    Some(rows.get("a").map_or(0, |row| row.sum))
}

pub(super) async fn record<S: ReadStore>(store: &S, projector: &ConsumerName) -> ConsumerRecord {
    store
        .inspect(Some(projector))
        .await
        .unwrap()
        .into_iter()
        .next()
        .expect("the projector is recorded")
}

pub(super) async fn is_lost<S: ReadStore>(store: &S, lease: &PartitionLease) -> bool {
    match store.begin(lease).await {
        Err(LeaseError::Lost) => true,
        // Some stores only check the lease at the commit.
        Ok(tx) => {
            let committed = store.commit(tx, lease, Position::START).await;
            matches!(committed, Err(CommitError::Lost))
        }
        Err(error) => panic!("{error}"),
    }
}
