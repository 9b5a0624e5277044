//! Leases of partitions, and writes under them.

use std::time::Duration;

use cqrs_core::projection::ReadStore;
use cqrs_core::projection::store::{Failure, PartitionLease};

use super::fixtures::{
    LONG, alive, at, begin_generation, capability, is_lost, lease, live, name, node, partition,
    record, sum, write,
};
use crate::eventually;
use crate::tables::Tables;

/// A lease that expires soon.
const SHORT: Duration = Duration::from_millis(30);
/// Long enough for a server to end the transaction of an owner without heartbeats.
const WITHIN: Duration = Duration::from_secs(20);

pub(super) async fn a_partition_has_one_owner_at_a_time<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, [left, right]) = (fresh().await, name("accounts"), [node(), node()]);
    alive(&store, left, LONG).await;
    alive(&store, right, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let partition_0 = partition(&projector, generation, 0);
    let first = lease(&store, left, &partition_0).await;
    assert!(store.acquire(right, &partition_0).await.unwrap().is_none());
    assert_eq!(record(&store, &projector).await.live().unwrap().partitions[0].owner, Some(left));
    // The same node may acquire it again; then only the newer lease is valid.
    let second = lease(&store, left, &partition_0).await;
    assert!(second.epoch > first.epoch);
    assert!(is_lost(&store, &first).await);
    store.release(&first).await.unwrap();
    assert!(store.acquire(right, &partition_0).await.unwrap().is_none());
    store.release(&second).await.unwrap();
    let third = lease(&store, right, &partition_0).await;
    assert!(third.epoch > second.epoch);
    assert!(store.acquire(left, &partition(&projector, generation, 1)).await.unwrap().is_none());
    assert!(store.acquire(left, &partition(&projector, 77, 0)).await.unwrap().is_none());
}

/// Waits until a node can acquire a partition.
async fn leased<S: ReadStore>(store: &S, me: uuid::Uuid, from: &PartitionLease) -> PartitionLease {
    eventually(WITHIN, || async {
        store.acquire(me, &from.partition).await.unwrap().ok_or("another node owns it")
    })
    .await
}

pub(super) async fn an_owner_without_heartbeats_is_replaced<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, [left, right]) = (fresh().await, name("accounts"), [node(), node()]);
    alive(&store, left, SHORT).await;
    alive(&store, right, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let old = lease(&store, left, &partition(&projector, generation, 0)).await;
    write::<T>(&store, &old, &[1], 3).await;
    let new = leased(&store, right, &old).await;
    assert_eq!(new.position, at(3));
    assert!(is_lost(&store, &old).await);
    // The old owner is back, but the partition is taken.
    alive(&store, left, LONG).await;
    assert!(store.acquire(left, &old.partition).await.unwrap().is_none());
}

pub(super) async fn an_owner_that_lost_its_lease_writes_nothing<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, [left, right]) = (fresh().await, name("accounts"), [node(), node()]);
    alive(&store, left, SHORT).await;
    alive(&store, right, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let old = lease(&store, left, &partition(&projector, generation, 0)).await;
    let mut paused = store.begin(&old).await.unwrap();
    T::add(&mut paused, "a", 100, 1).await.unwrap();
    let new = leased(&store, right, &old).await;
    // The old owner was paused during its transaction and commits it while the new owner writes.
    let writing = async {
        let mut tx = store.begin(&new).await.unwrap();
        T::add(&mut tx, "a", 1, 1).await.unwrap();
        store.commit(tx, &new, at(1)).await.unwrap();
    };
    let waking = async { store.commit(paused, &old, at(9)).await };
    let ((), woken) = tokio::join!(writing, waking);
    assert!(woken.is_err(), "an owner that lost its lease has committed");
    assert_eq!(sum::<T>(&store, &projector).await, Some(1));
    assert_eq!(record(&store, &projector).await.live().unwrap().position(), at(1));
}

pub(super) async fn a_leaving_node_releases_its_partitions<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, [left, right]) = (fresh().await, name("accounts"), [node(), node()]);
    alive(&store, left, LONG).await;
    alive(&store, right, LONG).await;
    let generation = begin_generation::<T>(&store, &projector, 1, 2).await;
    for number in [0, 1] {
        lease(&store, left, &partition(&projector, generation, number)).await;
    }
    store.leave(left).await.unwrap();
    for number in [0, 1] {
        lease(&store, right, &partition(&projector, generation, number)).await;
    }
}

pub(super) async fn progress_is_saved_under_the_newest_lease_only<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let old = lease(&store, me, &partition(&projector, generation, 0)).await;
    let new = lease(&store, me, &old.partition).await;
    let save = |lease: &PartitionLease, position: u64| {
        let mut lease = lease.clone();
        lease.position = at(position);
        let store = store.clone();
        async move {
            store.heartbeat(me, LONG, &[], &[lease]).await.unwrap();
        }
    };
    let position = || async { record(&store, &projector).await.live().unwrap().position() };
    save(&old, 5).await;
    assert_eq!(position().await, at(0));
    save(&new, 7).await;
    assert_eq!(position().await, at(7));
    save(&new, 6).await;
    assert_eq!(position().await, at(7));
}

pub(super) async fn a_heartbeat_returns_the_live_nodes<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector) = (fresh().await, name("accounts"));
    let [left, right, silent] = [node(), node(), node()];
    store.heartbeat(left, LONG, &[capability(&projector, 2)], &[]).await.unwrap();
    alive(&store, silent, SHORT).await;
    eventually(WITHIN, || async {
        let cluster = store.heartbeat(right, LONG, &[], &[]).await.unwrap();
        let mut nodes: Vec<_> = cluster.nodes.into_iter().map(|n| (n.id, n.capabilities)).collect();
        nodes.sort_by_key(|(id, _)| *id);
        if nodes == [(left, vec![capability(&projector, 2)]), (right, vec![])] {
            Ok(())
        } else {
            Err(format!("{nodes:?}"))
        }
    })
    .await;
}

pub(super) async fn a_failure_is_recorded_until_it_is_cleared<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let old = lease(&store, me, &partition(&projector, generation, 0)).await;
    let new = lease(&store, me, &old.partition).await;
    let failure = |error: &str| Failure {
        position: at(4),
        error: error.to_owned(),
        attempts: 2,
        stopped: false,
    };
    let seen =
        || async { record(&store, &projector).await.live().unwrap().partitions[0].failure.clone() };
    assert!(!store.report(&old, Some(&failure("old"))).await.unwrap());
    assert_eq!(seen().await, None);
    let hostile = "it's \"bad\" \\ \u{0} 🦀";
    assert!(store.report(&new, Some(&failure(hostile))).await.unwrap());
    assert_eq!(seen().await, Some(failure(hostile)));
    write::<T>(&store, &new, &[1], 4).await;
    assert_eq!(seen().await, None, "cleared when the event is projected");
    store.report(&new, Some(&failure("again"))).await.unwrap();
    store.report(&new, None).await.unwrap();
    assert_eq!(seen().await, None);
}

pub(super) async fn a_pause_is_visible_to_every_node<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    assert!(!store.set_paused(&projector, true).await.unwrap());
    let generation = live::<T>(&store, &projector).await;
    let lease = lease(&store, me, &partition(&projector, generation, 0)).await;
    assert!(store.set_paused(&projector, true).await.unwrap());
    assert!(record(&store, &projector).await.paused);
    let failure = Failure { position: at(1), error: "e".into(), attempts: 1, stopped: true };
    store.report(&lease, Some(&failure)).await.unwrap();
    assert!(store.set_paused(&projector, false).await.unwrap());
    let seen = record(&store, &projector).await;
    assert_eq!((seen.paused, &seen.live().unwrap().partitions[0].failure), (false, &None));
}

pub(super) async fn a_lease_is_lost_if_its_checkpoint_went_back<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let mut lease = lease(&store, me, &partition(&projector, generation, 0)).await;
    write::<T>(&store, &lease, &[1], 3).await;
    // As if a failed server had lost the commits after 3.
    lease.position = at(5);
    assert!(is_lost(&store, &lease).await);
    lease.position = at(3);
    write::<T>(&store, &lease, &[1], 4).await;
    assert_eq!(sum::<T>(&store, &projector).await, Some(2));
}

/// Acquires a partition of another projector, for a transaction that the append can join.
async fn carrier<T: Tables>(store: &T::Store, me: uuid::Uuid) -> PartitionLease {
    let other = name("other");
    let generation = live::<T>(store, &other).await;
    lease(store, me, &partition(&other, generation, 0)).await
}

pub(super) async fn an_inline_write_enters_only_the_live_generation<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let held = lease(&store, me, &partition(&projector, generation, 0)).await;
    write::<T>(&store, &held, &[1], 3).await;
    let carrier = carrier::<T>(&store, me).await;
    let mut tx = store.begin(&carrier).await.unwrap();
    assert_eq!(store.enter(&mut tx, &projector, 2).await.unwrap(), None, "another version");
    assert_eq!(store.enter(&mut tx, &name("unknown"), 1).await.unwrap(), None);
    assert_eq!(store.enter(&mut tx, &projector, 1).await.unwrap(), Some(at(3)));
    T::add(&mut tx, "a", 100, 4).await.unwrap();
    store.advance(&mut tx, &projector, at(4)).await.unwrap();
    // The transaction is dropped: nothing is written, and the owner can continue.
    drop(tx);
    write::<T>(&store, &held, &[1], 4).await;
    assert_eq!(sum::<T>(&store, &projector).await, Some(2));
}

pub(super) async fn an_inline_write_ends_the_lease<T: Tables>(fresh: &impl AsyncFn() -> T::Store) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let held = lease(&store, me, &partition(&projector, generation, 0)).await;
    write::<T>(&store, &held, &[1], 3).await;
    let carrier = carrier::<T>(&store, me).await;
    let mut tx = store.begin(&carrier).await.unwrap();
    assert_eq!(store.enter(&mut tx, &projector, 1).await.unwrap(), Some(at(3)));
    T::add(&mut tx, "a", 5, 4).await.unwrap();
    store.advance(&mut tx, &projector, at(4)).await.unwrap();
    store.commit(tx, &carrier, at(4)).await.unwrap();
    assert_eq!(sum::<T>(&store, &projector).await, Some(6));
    assert_eq!(record(&store, &projector).await.live().unwrap().position(), at(4));
    assert!(is_lost(&store, &held).await, "the owner must not write the same events again");
}
