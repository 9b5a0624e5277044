//! The cache of aggregates: its bounds, and that results do not depend on it.

use std::time::Duration;

use super::fresh::{MANY, fresh};
use cqrs::app::*;
use cqrs_testing::ManualClock;

use super::intercepted::Intercepted;
use super::ledger::{Ledger, put, take};

fn cached(app: &App) -> usize {
    let shown = format!("{app:?}");
    let count = shown.split("cached_aggregates: ").nth(1).unwrap();
    count.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn results_do_not_depend_on_the_cache() {
    let (cached, uncached) = (Intercepted::new().await, Intercepted::new().await);
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
    // Without a cache, one read per command; with one, a read per aggregate and per rejection.
    assert_eq!(uncached.reads(), 200);
    assert!(cached.reads() <= 3 + 40, "{} reads", cached.reads());
}

#[tokio::test]
async fn an_idle_aggregate_is_evicted_and_a_busy_one_stays() {
    let clock = ManualClock::new();
    let store = Intercepted::new().await;
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
    assert_eq!(store.reads(), 2, "the busy one was read once and is still cached");
    app.dispatch(put("idle", 1)).await.unwrap();
    assert_eq!(store.reads(), 3, "the idle one is read again");
}

#[tokio::test]
async fn loading_does_not_keep_an_aggregate_in_the_cache() {
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
async fn the_cache_is_bounded_for_any_number_of_aggregates() {
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
async fn the_aggregate_with_the_oldest_command_is_evicted_first() {
    let store = Intercepted::new().await;
    let capacity = CachePolicy::default().capacity(2);
    let app = App::builder(store.clone()).cache(capacity).build().unwrap();
    for ledger in ["a", "b", "a", "c", "a"] {
        app.dispatch(put(ledger, 1)).await.unwrap();
    }
    assert_eq!(store.reads(), 3, "`a` was used after `b`, so `c` replaced `b`");
    app.dispatch(put("b", 1)).await.unwrap();
    assert_eq!(store.reads(), 4);
}
