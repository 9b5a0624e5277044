//! The newest events are read once for all followers.

use cluster::Database;
use cqrs_core::{
    EventStore, EventStoreExt, Position,
    store::{Filter, LogRead},
    subscription::SubscriptionOptions,
};
use cqrs_postgres::PgStore;
use futures_util::{StreamExt, TryStreamExt};

use crate::proxy::Proxy;
use crate::{one, store_in, stream};

#[tokio::test]
async fn many_followers_query_as_often_as_few() {
    const FOLLOWERS: usize = 40;
    const EVENTS: usize = 20;
    let database = Database::create().await;
    store_in(&database).await;
    let proxy = Proxy::before(&database.options()).await;
    let store = PgStore::builder().options(proxy.options()).listen(false).connect().await.unwrap();
    store.append(one("a-0", "first")).await.unwrap();
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..FOLLOWERS {
        // Half of them want only some of the events.
        let filter = if n % 2 == 0 { Filter::all() } else { Filter::stream(stream("a-1")) };
        let mut events = store.subscribe(SubscriptionOptions::to(filter)).await.unwrap();
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                sender.send(event.unwrap().position).unwrap();
            }
        });
    }
    for _ in 0..FOLLOWERS / 2 {
        assert_eq!(seen.recv().await.unwrap().get(), 1);
    }
    let before = proxy.requests();
    for n in 0..EVENTS {
        let appended = store.append(one("a-1", &n.to_string())).await.unwrap();
        for _ in 0..FOLLOWERS {
            assert_eq!(seen.recv().await.unwrap(), appended.position());
        }
    }
    let asked = proxy.requests() - before;
    // An append, a query, and perhaps one for readers that asked while it was in flight. If each
    // follower queried separately, there would be 40 times as many.
    assert!(asked <= EVENTS * 6 + FOLLOWERS, "{asked} requests for {EVENTS} events");
}

/// The cache may lag behind the commits of others; a read that starts after them must not.
#[tokio::test]
async fn a_read_sees_what_another_process_committed_before_it() {
    let database = Database::create().await;
    let (here, there) = (store_in(&database).await, store_in(&database).await);
    for n in 1..=100_u64 {
        let appended = there.append(one("a-1", "there")).await.unwrap();
        let after = LogRead::forward().after(Position::new(n - 1));
        let pages: Vec<_> = here.read_log(after).try_collect().await.unwrap();
        let seen: Vec<u64> =
            pages.iter().flat_map(|page| &page.events).map(|event| event.position.get()).collect();
        assert_eq!(seen, [appended.position().get()]);
        assert_eq!(pages.last().unwrap().through, appended.position());
    }
}

#[tokio::test]
async fn a_follower_with_a_large_lag_reads_the_log_and_then_follows() {
    let database = Database::create().await;
    let (here, there) = (store_in(&database).await, store_in(&database).await);
    here.append(one("a-1", "0")).await.unwrap();
    let mut quick = here.subscribe(SubscriptionOptions::all()).await.unwrap();
    quick.next().await.unwrap().unwrap();
    // More than one query fetches, while no reader here asks.
    let events =
        (0..3_000).map(|n| (stream("a-1"), crate::event(&n.to_string()))).collect::<Vec<_>>();
    there.import(futures_util::stream::iter(events)).await.unwrap();
    let slow = here.subscribe(SubscriptionOptions::all()).await.unwrap();
    let (quick, slow) = tokio::join!(
        quick.take(3_000).try_collect::<Vec<_>>(),
        slow.take(3_001).try_collect::<Vec<_>>()
    );
    assert_eq!(quick.unwrap(), slow.unwrap()[1..]);
}

/// By the notification alone, without polling.
#[tokio::test]
async fn a_waiting_reader_is_notified_of_another_processs_commit() {
    let database = Database::create().await;
    let (here, there) = (store_in(&database).await, store_in(&database).await);
    for n in 0..20 {
        let waiting = here.wait_for_head_after(Position::new(n));
        let (woken, appended) = tokio::join!(
            tokio::time::timeout(std::time::Duration::from_secs(20), waiting),
            there.append(one("a-1", "there"))
        );
        assert!(woken.is_ok(), "not notified of event {}", n + 1);
        appended.unwrap();
    }
}
