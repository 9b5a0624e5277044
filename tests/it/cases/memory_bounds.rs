//! The cache: bounded, emptied when idle, and never the truth.

use std::time::Duration;

use super::fresh::{MANY, fresh};
use cqrs::app::*;
use cqrs_testing::ManualClock;

use super::hooked::Hooked;
use super::ledger::{Ledger, put, take};

fn cached(app: &App) -> usize {
    let shown = format!("{app:?}");
    let count = shown.split("cached_aggregates: ").nth(1).unwrap();
    count.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn cached_or_not_the_results_are_the_same() {
    let (cached, uncached) = (Hooked::new().await, Hooked::new().await);
    let apps = [
        App::new(cached.clone()),
        App::builder(uncached.clone()).cache(CachePolicy::off()).build().unwrap(),
    ];
    for n in 0..200_i64 {
        let mut answers = Vec::new();
        for app in &apps {
            let ledger = format!("l{}", n % 3);
            let command = if n % 5 == 0 { take(&ledger, n) } else { put(&ledger, 1) };
            let answer = app.dispatch(command).with_state().await;
            answers
                .push(answer.map(|o| (o.version, o.position, o.state)).map_err(|e| e.to_string()));
        }
        assert_eq!(answers[0], answers[1], "command {n}");
    }
    // Uncached: one read for each command. Cached: one for each aggregate and each refusal.
    assert_eq!(uncached.reads(), 200);
    assert!(cached.reads() <= 3 + 40, "{} reads", cached.reads());
}

#[tokio::test]
async fn an_idle_aggregate_leaves_memory_and_a_busy_one_stays() {
    let clock = ManualClock::new();
    let store = Hooked::new().await;
    let app = App::builder(store.clone())
        .clock(clock.clone())
        .cache(CachePolicy::default().idle(Duration::from_secs(60)))
        .build()
        .unwrap();
    app.dispatch(put("idle", 1)).await.unwrap();
    app.dispatch(put("busy", 1)).await.unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(40));
        app.dispatch(put("busy", 1)).await.unwrap();
    }
    assert_eq!(cached(&app), 1);
    assert_eq!(store.reads(), 2, "the busy one was read once and is still remembered");
    app.dispatch(put("idle", 1)).await.unwrap();
    assert_eq!(store.reads(), 3, "the idle one is read again");
}

#[tokio::test]
async fn looking_does_not_keep_an_aggregate_in_memory() {
    let clock = ManualClock::new();
    let idle = CachePolicy::default().idle(Duration::from_secs(60));
    let app = App::builder(fresh().await).clock(clock.clone()).cache(idle).build().unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    clock.advance(Duration::from_secs(40));
    app.load::<Ledger>(&"a".into()).await.unwrap();
    clock.advance(Duration::from_secs(40));
    app.dispatch(put("b", 1)).await.unwrap();
    assert_eq!(cached(&app), 1);
}

#[tokio::test]
async fn memory_is_bounded_however_many_aggregates_there_are() {
    let capacity = CachePolicy::default().capacity(100);
    let app = App::builder(fresh().await).cache(capacity).build().unwrap();
    for n in 0..MANY {
        app.dispatch(put(&n.to_string(), 1)).await.unwrap();
        assert!(cached(&app) <= 100);
    }
    assert_eq!(cached(&app), 100);
    for n in [0, MANY / 2, MANY - 1] {
        app.dispatch(take(&n.to_string(), 1)).await.unwrap();
    }
}

#[tokio::test]
async fn the_least_recently_commanded_goes_first() {
    let store = Hooked::new().await;
    let capacity = CachePolicy::default().capacity(2);
    let app = App::builder(store.clone()).cache(capacity).build().unwrap();
    for ledger in ["a", "b", "a", "c", "a"] {
        app.dispatch(put(ledger, 1)).await.unwrap();
    }
    assert_eq!(store.reads(), 3, "a was commanded again before c came, so b had to go");
    app.dispatch(put("b", 1)).await.unwrap();
    assert_eq!(store.reads(), 4);
}
