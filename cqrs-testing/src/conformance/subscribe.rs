//! Subscriptions without a checkpoint.

use std::time::Duration;

use cqrs_core::{
    EventStoreExt, Position,
    store::{Category, Filter},
    subscription::{Start, Subscription, SubscriptionOptions},
};

use super::fixtures::{Any, Fresh, append};

/// Much longer than any correct store needs.
const LONG: Duration = Duration::from_secs(20);

async fn next(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    let take = async {
        while seen.len() < count {
            match subscription.next().await {
                Some(Ok(event)) => seen.push(event.position.get()),
                other => panic!("{other:?}"),
            }
        }
    };
    let taken = tokio::time::timeout(LONG, take).await;
    assert!(taken.is_ok(), "received {} of {count} events: {seen:?}", seen.len());
    seen
}

pub(super) async fn a_subscription_delivers_stored_and_new_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "old-1", Any, 500).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..50 {
                append(&store, &format!("new-{}", n % 7), Any, 10).await.unwrap();
            }
        })
    };
    let mut following = store.subscribe(SubscriptionOptions::all().page_size(33)).await.unwrap();
    assert_eq!(next(&mut following, 1_000).await, (1..=1_000).collect::<Vec<_>>());
    writer.await.unwrap();
    append(&store, "new-1", Any, 1).await.unwrap();
    assert_eq!(next(&mut following, 1).await, [1_001]);
}

pub(super) async fn a_subscription_from_now_delivers_only_new_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 50).await.unwrap();
    let mut following = store.subscribe(SubscriptionOptions::all().from(Start::Now)).await.unwrap();
    append(&store, "a-1", Any, 2).await.unwrap();
    assert_eq!(next(&mut following, 2).await, [51, 52]);
}

pub(super) async fn a_subscription_starts_after_its_position(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 5).await.unwrap();
    let after = Start::After(Position::new(3));
    let mut following = store.subscribe(SubscriptionOptions::all().from(after)).await.unwrap();
    assert_eq!(next(&mut following, 2).await, [4, 5]);
    // A position after the head: the subscription waits for later events.
    let ahead = Start::After(Position::new(7));
    let mut following = store.subscribe(SubscriptionOptions::all().from(ahead)).await.unwrap();
    append(&store, "a-1", Any, 4).await.unwrap();
    assert_eq!(next(&mut following, 2).await, [8, 9]);
}

pub(super) async fn a_filtered_subscription_delivers_only_matching_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let mixed = async || {
        for name in ["rare-1", "busy-1", "busy-2", "rare-2", "busy-1"] {
            append(&store, name, Any, 2).await.unwrap();
        }
    };
    mixed().await;
    let rare = Filter::category(Category::new("rare").unwrap());
    let mut following = store.subscribe(SubscriptionOptions::to(rare).page_size(3)).await.unwrap();
    assert_eq!(next(&mut following, 4).await, [1, 2, 7, 8]);
    mixed().await;
    assert_eq!(next(&mut following, 4).await, [11, 12, 17, 18]);
}

pub(super) async fn waiting_for_the_head_ends_with_an_append(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 3).await.unwrap();
    for there in 0..3 {
        let known = store.wait_for_head_after(Position::new(there));
        assert!(
            tokio::time::timeout(LONG, known).await.is_ok(),
            "the head is greater than {there}"
        );
    }
    // The call may return too early, so the waiting task checks the head.
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move {
            while store.head().await.unwrap() <= Position::new(3) {
                store.wait_for_head_after(Position::new(3)).await;
            }
        })
    };
    tokio::task::yield_now().await;
    append(&store, "a-1", Any, 1).await.unwrap();
    tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
}

pub(super) async fn a_slow_subscriber_does_not_delay_others(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 1).await.unwrap();
    let mut slow = store.subscribe(SubscriptionOptions::all().page_size(10)).await.unwrap();
    assert_eq!(next(&mut slow, 1).await, [1]);
    // The slow subscriber does not read during these appends, and the other one does.
    let mut quick = store.subscribe(SubscriptionOptions::all()).await.unwrap();
    for n in 0..20 {
        append(&store, &format!("b-{n}"), Any, 50).await.unwrap();
    }
    assert_eq!(next(&mut quick, 1_001).await.len(), 1_001);
    assert_eq!(next(&mut slow, 1_000).await, (2..=1_001).collect::<Vec<_>>());
}
