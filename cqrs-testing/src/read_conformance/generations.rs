//! Building generations of a read model and swapping them in.

use cqrs_core::projection::ReadStore;
use cqrs_core::projection::store::Swap;

use super::fixtures::{
    LONG, alive, at, begin_generation, is_lost, lease, live, name, node, partition, record, sum,
    write,
};
use crate::tables::Tables;

pub(super) async fn a_generation_is_visible_after_its_swap<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    assert!(store.inspect(None).await.unwrap().is_empty());
    let generation = begin_generation::<T>(&store, &projector, 3, 2).await;
    let seen = record(&store, &projector).await;
    assert!(seen.live().is_none());
    let building = seen.building().unwrap();
    let numbers: Vec<_> = building.partitions.iter().map(|p| (p.number, p.position)).collect();
    assert_eq!((building.version, building.intact), (3, true));
    assert_eq!(numbers, [(0, at(0)), (1, at(0))]);

    let lease = lease(&store, me, &partition(&projector, generation, 0)).await;
    write::<T>(&store, &lease, &[5], 7).await;
    assert_eq!(sum::<T>(&store, &projector).await, None);
    assert_eq!(store.swap(&projector, generation).await.unwrap(), Swap::Done);
    assert_eq!(sum::<T>(&store, &projector).await, Some(5));
    assert_eq!(store.swap(&projector, generation).await.unwrap(), Swap::Gone);
    // The lease stays valid.
    write::<T>(&store, &lease, &[1], 8).await;
    assert_eq!(sum::<T>(&store, &projector).await, Some(6));
    let seen = record(&store, &projector).await;
    assert_eq!(seen.live().unwrap().partitions[0].position, at(8));
    assert!(seen.building().is_none());
}

pub(super) async fn rows_and_checkpoint_are_committed_together<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let generation = live::<T>(&store, &projector).await;
    let lease = lease(&store, me, &partition(&projector, generation, 0)).await;
    write::<T>(&store, &lease, &[1, 2], 10).await;
    let mut dropped = store.begin(&lease).await.unwrap();
    T::add(&mut dropped, "a", 100, 11).await.unwrap();
    drop(dropped);
    write::<T>(&store, &lease, &[], 9).await;
    assert_eq!(sum::<T>(&store, &projector).await, Some(3));
    assert_eq!(record(&store, &projector).await.live().unwrap().position(), at(10));
}

pub(super) async fn only_one_generation_is_built_at_a_time<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector) = (fresh().await, name("accounts"));
    let begin = || async {
        if let Some(mut new) = store.new_generation(&projector, 1, 1, at(0)).await.unwrap() {
            T::create(&mut new.tx).await.unwrap();
            store.commit_new(new.tx).await.unwrap();
        }
    };
    tokio::join!(begin(), begin(), begin());
    let first = record(&store, &projector).await.building().unwrap().number;
    assert!(store.new_generation(&projector, 1, 1, at(0)).await.unwrap().is_none());
    let second = begin_generation::<T>(&store, &projector, 2, 1).await;
    assert!(second > first);
    assert!(
        store.new_generation(&projector, 1, 1, at(0)).await.unwrap().is_none(),
        "an earlier version"
    );
    let third = begin_generation::<T>(&store, &projector, 2, 4).await;
    let building = record(&store, &projector).await.building().unwrap().clone();
    assert_eq!((building.number, building.partitions.len()), (third, 4));
    assert_eq!(store.swap(&projector, second).await.unwrap(), Swap::Gone);
}

pub(super) async fn a_generation_starts_after_the_given_position<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector) = (fresh().await, name("accounts"));
    let mut new = store.new_generation(&projector, 1, 3, at(7)).await.unwrap().unwrap();
    T::create(&mut new.tx).await.unwrap();
    store.commit_new(new.tx).await.unwrap();
    let building = record(&store, &projector).await.building().unwrap().clone();
    assert_eq!(building.partitions.iter().map(|p| p.position).collect::<Vec<_>>(), [at(7); 3]);
}

pub(super) async fn the_live_generation_stays_until_the_swap<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let old = live::<T>(&store, &projector).await;
    let old = lease(&store, me, &partition(&projector, old, 0)).await;
    write::<T>(&store, &old, &[5], 5).await;
    let new = begin_generation::<T>(&store, &projector, 1, 1).await;
    let new_lease = lease(&store, me, &partition(&projector, new, 0)).await;
    write::<T>(&store, &new_lease, &[7], 4).await;
    write::<T>(&store, &old, &[1], 6).await;
    assert_eq!(sum::<T>(&store, &projector).await, Some(6));
    write::<T>(&store, &new_lease, &[8], 6).await;
    assert_eq!(store.swap(&projector, new).await.unwrap(), Swap::Done);
    assert_eq!(sum::<T>(&store, &projector).await, Some(15));
    assert!(is_lost(&store, &old).await, "the old generation is gone");
}

pub(super) async fn a_generation_is_not_swapped_in_while_it_lags<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    let old = live::<T>(&store, &projector).await;
    let old = lease(&store, me, &partition(&projector, old, 0)).await;
    write::<T>(&store, &old, &[1], 1_000_000).await;
    let new = begin_generation::<T>(&store, &projector, 1, 2).await;
    let [left, right] = [0, 1].map(|number| partition(&projector, new, number));
    let (left, right) = (lease(&store, me, &left).await, lease(&store, me, &right).await);
    write::<T>(&store, &left, &[], 1_000_000).await;
    assert_eq!(store.swap(&projector, new).await.unwrap(), Swap::Behind, "one partition lags far");
    assert!(
        !is_lost(&store, &old).await,
        "the live generation is not paused for one that lags far"
    );
    write::<T>(&store, &right, &[2], 999_990).await;
    assert_eq!(store.swap(&projector, new).await.unwrap(), Swap::Behind);
    assert!(is_lost(&store, &old).await, "the live generation is paused");
    assert!(store.acquire(me, &old.partition).await.unwrap().is_none());
    assert_eq!(sum::<T>(&store, &projector).await, Some(1));
    write::<T>(&store, &right, &[], 1_000_000).await;
    assert_eq!(store.swap(&projector, new).await.unwrap(), Swap::Done);
    assert_eq!(sum::<T>(&store, &projector).await, Some(2));
}

pub(super) async fn a_cancelled_generation_accepts_no_writes<T: Tables>(
    fresh: &impl AsyncFn() -> T::Store,
) {
    let (store, projector, me) = (fresh().await, name("accounts"), node());
    alive(&store, me, LONG).await;
    assert!(!store.cancel(&projector).await.unwrap());
    let old = live::<T>(&store, &projector).await;
    let old = lease(&store, me, &partition(&projector, old, 0)).await;
    write::<T>(&store, &old, &[5], 20).await;
    let new = begin_generation::<T>(&store, &projector, 2, 1).await;
    let new = lease(&store, me, &partition(&projector, new, 0)).await;
    write::<T>(&store, &new, &[7], 10).await;
    assert_eq!(store.swap(&projector, new.partition.generation).await.unwrap(), Swap::Behind);
    assert!(store.cancel(&projector).await.unwrap());
    assert!(is_lost(&store, &new).await);
    let gone = store.swap(&projector, new.partition.generation).await.unwrap();
    assert_eq!(gone, Swap::Gone);
    // The live generation is no longer paused.
    let old = lease(&store, me, &old.partition).await;
    write::<T>(&store, &old, &[1], 21).await;
    assert_eq!(sum::<T>(&store, &projector).await, Some(6));
}

pub(super) async fn projectors_have_separate_tables<T: Tables>(fresh: &impl AsyncFn() -> T::Store) {
    let (store, me) = (fresh().await, node());
    alive(&store, me, LONG).await;
    for (projector, amount) in [("left", 1), ("right", 2)] {
        let projector = name(projector);
        let generation = live::<T>(&store, &projector).await;
        let lease = lease(&store, me, &partition(&projector, generation, 0)).await;
        write::<T>(&store, &lease, &[amount], 1).await;
    }
    assert_eq!(sum::<T>(&store, &name("left")).await, Some(1));
    assert_eq!(sum::<T>(&store, &name("right")).await, Some(2));
    assert_eq!(store.inspect(None).await.unwrap().len(), 2);
}
