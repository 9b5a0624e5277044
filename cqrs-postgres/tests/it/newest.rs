//! The newest events are read once for all who follow.

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
async fn many_followers_ask_as_often_as_few() {
    const FOLLOWERS: usize = 40;
    const EVENTS: usize = 20;
    let database = Database::create().await;
    store_in(&database).await;
    let proxy = Proxy::before(&database.options()).await;
    let store = PgStore::builder().options(proxy.options()).listen(false).connect().await.unwrap();
    store.append(one("a-0", "first")).await.unwrap();
    let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..FOLLOWERS {
        // Half of them want only some of the events.
        let filter = if n % 2 == 0 { Filter::all() } else { Filter::stream(stream("a-1")) };
        let mut events = store.subscribe(SubscriptionOptions::to(filter)).await.unwrap();
        let told = told.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                told.send(event.unwrap().position).unwrap();
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
    // An append, a question, and perhaps one of somebody who came while it was on its way. Each
    // follower by itself would have made 40 times as many.
    assert!(asked <= EVENTS * 6 + FOLLOWERS, "{asked} requests for {EVENTS} events");
}

/// What is in memory may be behind what others committed; a read that starts afterwards must not
/// be.
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
async fn somebody_far_behind_reads_the_log_and_then_follows() {
    let database = Database::create().await;
    let (here, there) = (store_in(&database).await, store_in(&database).await);
    here.append(one("a-1", "0")).await.unwrap();
    let mut quick = here.subscribe(SubscriptionOptions::all()).await.unwrap();
    quick.next().await.unwrap().unwrap();
    // More than one question fetches, while nobody here asks.
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

/// By the notification alone: nobody polls here.
#[tokio::test]
async fn a_waiting_process_is_told_of_anothers_commit() {
    let database = Database::create().await;
    let (here, there) = (store_in(&database).await, store_in(&database).await);
    for n in 0..20 {
        let waiting = here.wait_for_head_after(Position::new(n));
        let (told, appended) = tokio::join!(
            tokio::time::timeout(std::time::Duration::from_secs(20), waiting),
            there.append(one("a-1", "there"))
        );
        assert!(told.is_ok(), "not told of event {}", n + 1);
        appended.unwrap();
    }
}
