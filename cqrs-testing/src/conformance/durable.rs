//! Durable subscriptions and their checkpoints.

use std::time::Duration;

use cqrs_core::{
    EventStoreExt, Position,
    store::{Category, Filter},
    subscription::{
        AckError, AcquireError, CheckpointError, DurableOptions, DurableSubscription, Start,
        SubscriptionName, SubscriptionOptions,
    },
};
use uuid::Uuid;

use super::fixtures::{Any, Fresh, TestStore, append};
use crate::eventually;

/// Much longer than any correct store needs.
const LONG: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3_600);

fn name(name: &str) -> SubscriptionName {
    SubscriptionName::new(name).unwrap()
}

fn open(store: &TestStore, called: &str, subscribe: SubscriptionOptions) -> DurableSubscription {
    store.subscribe_durable(store.checkpoints(), DurableOptions::new(name(called), subscribe))
}

async fn next(events: &mut DurableSubscription) -> u64 {
    match tokio::time::timeout(LONG, events.next()).await {
        Ok(Ok(event)) => event.position.get(),
        other => panic!("{other:?}"),
    }
}

async fn position(store: &TestStore, called: &str) -> Option<u64> {
    let found = store.find_checkpoint(&name(called)).await.unwrap();
    found.map(|checkpoint| checkpoint.position.get())
}

pub(super) async fn a_durable_subscription_continues_after_its_checkpoint(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 10).await.unwrap();
    let mut events = open(&store, "billing", SubscriptionOptions::all().page_size(4));
    for n in 1..=10 {
        assert_eq!(next(&mut events).await, n);
        if n == 7 {
            events.acks().ack(Position::new(7)).await.unwrap();
        }
    }
    assert_eq!(position(&store, "billing").await, Some(7));
    events.close().await.unwrap();
    // The name is known, so this start has no effect.
    let mut events = open(&store, "billing", SubscriptionOptions::all().from(Start::Now));
    assert_eq!(next(&mut events).await, 8);
    append(&store, "a-1", Any, 1).await.unwrap();
    for n in 9..=11 {
        assert_eq!(next(&mut events).await, n);
    }
    // Another name has its own checkpoint.
    assert_eq!(next(&mut open(&store, "mailing", SubscriptionOptions::all())).await, 1);
}

pub(super) async fn the_start_applies_only_to_a_new_name(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 5).await.unwrap();
    for (called, start, expected) in [
        ("origin", Start::Origin, 0),
        ("after", Start::After(Position::new(3)), 3),
        ("now", Start::Now, 5),
    ] {
        let mut events = open(&store, called, SubscriptionOptions::all().from(start));
        if expected < 5 {
            assert_eq!(next(&mut events).await, expected + 1, "{called}");
        } else {
            // The subscription is created when the first event is requested.
            let created =
                eventually(LONG, || async { position(&store, called).await.ok_or("not created") });
            tokio::select! {
                event = events.next() => panic!("{event:?}"),
                _ = created => {}
            }
        }
        assert_eq!(position(&store, called).await, Some(expected), "{called}");
        events.close().await.unwrap();
    }
    append(&store, "a-1", Any, 1).await.unwrap();
    assert_eq!(next(&mut open(&store, "now", SubscriptionOptions::all())).await, 6);
}

pub(super) async fn the_checkpoint_is_below_the_first_unacknowledged_event(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 8).await.unwrap();
    let mut events = open(&store, "billing", SubscriptionOptions::all());
    for n in 1..=8 {
        assert_eq!(next(&mut events).await, n);
    }
    let acks = events.acks();
    for (acked, saved) in [(1, 1), (2, 2), (3, 3), (6, 3), (5, 3), (4, 6), (7, 7), (8, 8)] {
        acks.ack_one(Position::new(acked)).await.unwrap();
        assert_eq!(position(&store, "billing").await, Some(saved), "after {acked}");
    }
    for wrong in [0, 8, 9] {
        let result = acks.ack(Position::new(wrong)).await;
        assert!(matches!(result, Err(AckError::Unexpected { .. })), "{result:?}");
    }
    assert_eq!(position(&store, "billing").await, Some(8));
}

pub(super) async fn filtered_events_move_the_checkpoint(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "busy-1", Any, 6).await.unwrap();
    append(&store, "rare-1", Any, 1).await.unwrap();
    append(&store, "busy-1", Any, 3).await.unwrap();
    let rare = SubscriptionOptions::to(Filter::category(Category::new("rare").unwrap()));
    let mut events = open(&store, "billing", rare.clone());
    assert_eq!(next(&mut events).await, 7);
    assert_eq!(events.acks().checkpoint(), Some(Position::new(6)));
    events.acks().ack(Position::new(7)).await.unwrap();
    events.close().await.unwrap();
    // The three events after it do not match and need no acknowledgement.
    assert_eq!(position(&store, "billing").await, Some(10));
    append(&store, "rare-1", Any, 1).await.unwrap();
    assert_eq!(next(&mut open(&store, "billing", rare)).await, 11);
}

pub(super) async fn one_subscriber_per_name_receives_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 2).await.unwrap();
    let mut first = open(&store, "billing", SubscriptionOptions::all());
    assert_eq!(next(&mut first).await, 1);
    let mut second = open(&store, "billing", SubscriptionOptions::all());
    let silent = tokio::time::timeout(Duration::from_millis(50), second.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    first.acks().ack(Position::new(1)).await.unwrap();
    first.close().await.unwrap();
    assert_eq!(next(&mut second).await, 2);
    second.acks().ack(Position::new(2)).await.unwrap();
    assert_eq!(position(&store, "billing").await, Some(2));
}

pub(super) async fn a_lease_has_one_owner_at_a_time(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let billing = name("billing");
    let first = store.acquire(&billing, Position::new(3), here, HOUR).await.unwrap();
    assert_eq!(first.checkpoint, Position::new(3));
    let held = store.acquire(&billing, Position::START, there, HOUR).await.unwrap_err();
    assert!(matches!(held, AcquireError::Held { .. }), "{held}");
    let shown = store.find_checkpoint(&billing).await.unwrap().unwrap();
    assert_eq!(shown.owner, Some(here));
    assert!(shown.held_until.is_some());
    // The same owner may acquire it again, which ends its older lease.
    let again = store.acquire(&billing, Position::START, here, HOUR).await.unwrap();
    assert!(again.epoch > first.epoch);
    assert_eq!(again.checkpoint, Position::new(3));
    // After its release the subscription is free at once.
    store.release(&again).await.unwrap();
    assert_eq!(store.find_checkpoint(&billing).await.unwrap().unwrap().owner, None);
    let other = store.acquire(&billing, Position::START, there, Duration::ZERO).await.unwrap();
    // An expired lease is free, too, but its owner can still renew it until another one acquires it.
    store.renew(&other, HOUR).await.unwrap();
    let held = store.acquire(&billing, Position::START, here, HOUR).await.unwrap_err();
    assert!(matches!(held, AcquireError::Held { .. }), "{held}");
    store.renew(&other, Duration::ZERO).await.unwrap();
    let last = store.acquire(&billing, Position::START, here, HOUR).await.unwrap();
    assert!(last.epoch > other.epoch);
}

pub(super) async fn a_lost_lease_moves_no_checkpoint(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let billing = name("billing");
    let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let acquire = async |owner, lease| store.acquire(&billing, Position::START, owner, lease).await;
    let lost = async |lease: &cqrs_core::subscription::SubscriptionLease| {
        for tried in
            [store.save_checkpoint(lease, Position::new(99)).await, store.renew(lease, HOUR).await]
        {
            assert!(matches!(tried, Err(CheckpointError::Lost { .. })), "{tried:?}");
        }
        store.release(lease).await.unwrap();
    };
    let paused = acquire(here, Duration::ZERO).await.unwrap();
    let newer = acquire(there, HOUR).await.unwrap();
    store.save_checkpoint(&newer, Position::new(5)).await.unwrap();
    lost(&paused).await;
    // The old lease neither moved the checkpoint nor released the subscription.
    let shown = store.find_checkpoint(&billing).await.unwrap().unwrap();
    assert_eq!((shown.position, shown.owner), (Position::new(5), Some(there)));

    assert!(store.reset_checkpoint(&billing, Position::new(2)).await.unwrap());
    lost(&newer).await;
    assert_eq!(position(&store, "billing").await, Some(2));
    let after_reset = acquire(here, HOUR).await.unwrap();
    assert_eq!(after_reset.checkpoint, Position::new(2));

    assert!(store.delete_checkpoint(&billing).await.unwrap());
    assert!(!store.delete_checkpoint(&billing).await.unwrap());
    assert!(!store.reset_checkpoint(&billing, Position::new(1)).await.unwrap());
    lost(&after_reset).await;
    // A subscription that is created again is a new one: no old lease is valid for it.
    let fresh = acquire(there, HOUR).await.unwrap();
    assert_eq!(fresh.checkpoint, Position::START);
    for old in [&paused, &newer, &after_reset] {
        lost(old).await;
    }
    assert_eq!(position(&store, "billing").await, Some(0));
}

pub(super) async fn a_checkpoint_never_decreases(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let billing = name("billing");
    let lease = store.acquire(&billing, Position::START, Uuid::from_u128(1), HOUR).await.unwrap();
    for (saved, kept) in [(4, 4), (2, 4), (0, 4), (7, 7), (7, 7), (6, 7)] {
        store.save_checkpoint(&lease, Position::new(saved)).await.unwrap();
        assert_eq!(position(&store, "billing").await, Some(kept));
    }
}

pub(super) async fn a_reset_or_deleted_checkpoint_restarts_the_subscription(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 4).await.unwrap();
    let lease = Duration::from_millis(90);
    let durable = DurableOptions::new(name("billing"), SubscriptionOptions::all()).lease(lease);
    let mut events = store.subscribe_durable(store.checkpoints(), durable);
    for n in 1..=4 {
        assert_eq!(next(&mut events).await, n);
    }
    let old = events.acks();
    old.ack(Position::new(3)).await.unwrap();
    assert!(store.reset_checkpoint(&name("billing"), Position::new(1)).await.unwrap());
    // The subscription starts again after the new checkpoint, and events in flight can no longer be
    // acknowledged.
    assert_eq!(next(&mut events).await, 2);
    assert!(old.ack(Position::new(4)).await.is_err());
    assert_eq!(position(&store, "billing").await, Some(1));
    assert!(store.delete_checkpoint(&name("billing")).await.unwrap());
    // A deleted subscription is created again with its start. Events that were fetched before may
    // still be delivered.
    let mut seen = next(&mut events).await;
    while seen > 1 {
        assert!(seen <= 4);
        seen = next(&mut events).await;
    }
}

pub(super) async fn checkpoints_are_listed_by_name(fresh: &Fresh<'_>) {
    let store = fresh().await;
    assert!(store.list_checkpoints().await.unwrap().is_empty());
    for (called, at) in [("b", 2), ("a", 1), ("c", 3)] {
        store.acquire(&name(called), Position::new(at), Uuid::from_u128(1), HOUR).await.unwrap();
    }
    let listed = store.list_checkpoints().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.position.get())).collect();
    assert_eq!(listed, [("a", 1), ("b", 2), ("c", 3)]);
    assert_eq!(store.find_checkpoint(&name("d")).await.unwrap(), None);
}
