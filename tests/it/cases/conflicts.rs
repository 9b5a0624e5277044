//! Concurrent writers of one stream.

use super::fresh::{Store, fresh};
use cqrs::{app::*, store::*};
use futures_util::future::join_all;

use super::intercepted::Intercepted;
use super::ledger::{Ledger, LedgerError, LedgerEvent, What, change, put, take};

pub async fn foreign(store: &Store, ledger: &str, event: LedgerEvent) {
    let stream = StreamName::of("ledger", &ledger).unwrap();
    store.append_events(&stream, ExpectedVersion::Any, &[event]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_concurrent_deposits_all_succeed() {
    let app = App::new(fresh().await);
    app.dispatch(put("a", 0)).await.unwrap();
    let tasks = (0..100).map(|_| tokio::spawn(app.dispatch(put("a", 1))));
    for outcome in join_all(tasks).await {
        outcome.unwrap().unwrap();
    }
    let ledger = app.load::<Ledger>(&"a".into()).await.unwrap();
    assert_eq!((ledger.version().get(), ledger.state().sum), (101, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_applications_on_one_store_neither_lose_nor_duplicate_events() {
    let store = fresh().await;
    // Each has its own cache, as two processes would.
    let apps: Vec<_> =
        (0..2).map(|_| App::builder(store.clone()).retries(1_000).build().unwrap()).collect();
    let tasks = (0..1_000).map(|n: usize| {
        let app = apps[n % 2].clone();
        let ledger = format!("l{}", n % 7);
        tokio::spawn(async move {
            match n % 3 {
                0 => app.dispatch(take(&ledger, 2)).await.map_or(0, |_| -2),
                _ => app.dispatch(put(&ledger, 3)).await.map(|_| 3).unwrap(),
            }
        })
    });
    let expected: i64 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    let mut sum = 0;
    for n in 0..7 {
        let mut at_every_version = 0;
        let stream = StreamName::new(format!("ledger-l{n}")).unwrap();
        let events = store.read_as::<LedgerEvent>(Read::stream(stream)).await.unwrap();
        let events = events.collect().await.unwrap();
        for event in events {
            match event.event {
                LedgerEvent::Put(amount) => at_every_version += amount,
                LedgerEvent::Taken(amount) => at_every_version -= amount,
                LedgerEvent::Poison | LedgerEvent::Note(_) => unreachable!(),
            }
            assert!(at_every_version >= 0, "below zero");
        }
        for app in &apps {
            let ledger = app.load::<Ledger>(&format!("l{n}")).await.unwrap();
            assert_eq!(ledger.state().sum, at_every_version);
        }
        sum += at_every_version;
    }
    assert_eq!(sum, expected);
}

#[tokio::test]
async fn after_a_conflict_new_events_are_read_and_the_command_is_decided_again() {
    let store = Intercepted::new().await.before(|nth, inner| {
        Box::pin(async move {
            if nth == 1 {
                foreign(&inner, "a", LedgerEvent::Put(500)).await;
            }
            Ok(())
        })
    });
    let app = App::new(store.clone());
    app.dispatch(put("a", 1_000)).await.unwrap();
    let outcome = app.dispatch(put("a", 100)).with_state().await.unwrap();
    assert_eq!(outcome.version, Version::new(3));
    assert_eq!(outcome.state, Some(Ledger { sum: 1_600 }));
    assert_eq!(store.appends(), 3);
    // The cached state contains the other writer's event.
    let outcome = app.dispatch(take("a", 1_600)).await.unwrap();
    assert_eq!(outcome.version, Version::new(4));
}

#[tokio::test]
async fn after_a_conflict_the_aggregate_decides_on_the_new_state() {
    let store = Intercepted::new().await.before(|nth, inner| {
        Box::pin(async move {
            if nth == 1 {
                foreign(&inner, "a", LedgerEvent::Taken(80)).await;
            }
            Ok(())
        })
    });
    let app = App::new(store);
    app.dispatch(put("a", 100)).await.unwrap();
    let rejected = app.dispatch(take("a", 50)).await.unwrap_err();
    assert_eq!(rejected.rejected(), Some(&LedgerError::NotEnough { wanted: 50, left: 20 }));
}

#[tokio::test]
async fn a_command_with_an_expected_version_is_not_decided_again() {
    let store = Intercepted::new().await;
    let app = App::new(store.clone());
    app.dispatch(put("a", 1)).expected_version(ExpectedVersion::NoStream).await.unwrap();
    app.dispatch(put("a", 1)).expected_version(Version::new(1)).await.unwrap();
    foreign(&store.inner, "a", LedgerEvent::Put(1)).await;
    for (expected, what) in [
        // The cached version matches: decided once, and the append detects the conflict.
        (ExpectedVersion::Exact(Version::new(2)), What::Put(1)),
        // The cached version does not match: `execute` would panic if it were called.
        (ExpectedVersion::Exact(Version::new(2)), What::Panic),
        (ExpectedVersion::Exact(Version::new(9)), What::Panic),
        (ExpectedVersion::NoStream, What::Panic),
    ] {
        let command = change("a", what);
        let error = app.dispatch(command).expected_version(expected).await.unwrap_err();
        let DispatchError::Conflict(conflict) = error else { panic!("{error}") };
        assert_eq!((conflict.expected, conflict.actual), (expected, Version::new(3)));
    }
    assert_eq!(store.appends(), 3);
    app.dispatch(put("a", 1)).expected_version(Version::new(3)).await.unwrap();
    app.dispatch(put("a", 1)).expected_version(ExpectedVersion::StreamExists).await.unwrap();
    app.dispatch(put("a", 1)).expected_version(ExpectedVersion::Any).await.unwrap();
}

#[tokio::test]
async fn an_expected_version_that_is_outdated_during_the_dispatch_is_a_conflict() {
    let store = Intercepted::new().await.before(|nth, inner| {
        Box::pin(async move {
            if nth == 1 {
                foreign(&inner, "a", LedgerEvent::Put(1)).await;
            }
            Ok(())
        })
    });
    let app = App::new(store.clone());
    app.dispatch(put("a", 1)).await.unwrap();
    let error = app.dispatch(put("a", 1)).expected_version(Version::new(1)).await.unwrap_err();
    let DispatchError::Conflict(conflict) = error else { panic!("{error}") };
    assert_eq!(conflict.actual, Version::new(2));
    assert_eq!(store.appends(), 2);
}

#[tokio::test]
async fn other_append_failures_are_not_retried() {
    let store = Intercepted::new().await.before(|_, _| {
        Box::pin(async {
            Err(StoreError::new(StoreErrorKind::Unavailable, "connection refused").into())
        })
    });
    let app = App::new(store.clone());
    let error = app.dispatch(put("a", 1)).await.unwrap_err();
    assert!(
        matches!(&error, DispatchError::Append { source: AppendError::Store(_), .. }),
        "{error}"
    );
    assert_eq!(error.retry(), Retry::AfterDelay);
    assert_eq!(store.appends(), 1);
}

#[tokio::test]
async fn rejections_and_empty_decisions_are_not_based_on_a_stale_cache() {
    let store = fresh().await;
    let (a, b) = (App::new(store.clone()), App::new(store));
    a.dispatch(put("x", 10)).await.unwrap();
    b.dispatch(put("x", 90)).await.unwrap();
    // `a` has cached a sum of 10 and must not reject the command because of it.
    a.dispatch(take("x", 100)).await.unwrap();
    // It must not return "nothing to do" at an old version either.
    b.dispatch(put("x", 5)).await.unwrap();
    let outcome = a.dispatch(change("x", What::Nothing)).await.unwrap();
    assert_eq!(outcome.version, Version::new(4));
}

#[tokio::test]
async fn events_of_other_writers_are_applied_once() {
    let store = fresh().await;
    let app = App::new(store.clone());
    app.dispatch(put("a", 1)).await.unwrap();
    for round in 1..=3 {
        // More than a page, so that the cached state is far behind.
        let stream = StreamName::new("ledger-a").unwrap();
        let many = vec![LedgerEvent::Put(1); 1_500];
        store.append_events(&stream, ExpectedVersion::Any, &many).await.unwrap();
        let outcome = app.dispatch(put("a", 1)).with_state().await.unwrap();
        assert_eq!(outcome.version.get(), 1 + round * 1_501);
        assert_eq!(outcome.state.unwrap().sum.unsigned_abs(), 1 + round * 1_501);
    }
}
