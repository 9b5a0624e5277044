//! Read your write, and news for pages.

use std::sync::Arc;
use std::time::Duration;

use cqrs::{EventStore, Position, projection::Waited};
use futures_util::StreamExt;

use super::{Tally, WITHIN, known, projections, total};
use crate::tally::{Knobs, Second, add};

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_read_model_shows_the_write() {
    let (store, read) = super::fresh::stores().await;
    let running = projections(&store, &read)
        .projector(<Tally>::new())
        .projector(Tally::<Second>::new())
        .start()
        .await
        .unwrap();
    for name in ["accounts", "second"] {
        assert!(running.wait_until_built(name, WITHIN).await.unwrap());
    }
    let all = running.waiter([]).unwrap();
    for round in 1..=20 {
        let position = add(&store, 1, 1).await;
        assert_eq!(all.wait(position, WITHIN).await, Waited::CaughtUp);
        assert_eq!(total(&read, "accounts").await.0, round);
        assert_eq!(total(&read, "second").await.0, round);
    }
    // Nothing to wait for, and something long known.
    assert_eq!(all.wait(Position::START, Duration::ZERO).await, Waited::CaughtUp);
    assert_eq!(all.wait(Position::new(3), Duration::ZERO).await, Waited::CaughtUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn being_late_is_an_answer() {
    let (store, read) = super::fresh::stores().await;
    let slow: Arc<Knobs> = Arc::default();
    let running = projections(&store, &read)
        .projector(<Tally>::with(&slow))
        .projector(Tally::<Second>::new())
        .start()
        .await
        .unwrap();
    for name in ["accounts", "second"] {
        assert!(running.wait_until_built(name, WITHIN).await.unwrap());
    }
    *slow.delay.lock().unwrap() = Duration::from_millis(500);
    let position = add(&store, 1, 1).await;
    let late = running.wait_for("accounts", position, Duration::from_millis(50)).await.unwrap();
    assert_eq!(late, Waited::Behind);
    // The other one is not held up, and the same position can be waited for again.
    assert_eq!(running.wait_for("second", position, WITHIN).await.unwrap(), Waited::CaughtUp);
    assert_eq!(running.wait_for("accounts", position, WITHIN).await.unwrap(), Waited::CaughtUp);
    assert_eq!(store.head().await.unwrap(), position);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_works_from_another_process() {
    let (store, read) = super::fresh::stores().await;
    let works = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let position = add(&store, 1, 1).await;
    known(&works, "accounts", position).await;
    // A node of its own, which gets nothing to run.
    let looks_on = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    for round in 2..=5 {
        let position = add(&store, 1, 1).await;
        let waited = looks_on.wait_for("accounts", position, WITHIN).await.unwrap();
        assert_eq!(waited, Waited::CaughtUp);
        assert_eq!(total(&read, "accounts").await.0, round);
    }
    // Also for what does not concern the projector.
    let foreign = cqrs::event::NewEvent::json("other.happened", "x").unwrap();
    let stream = crate::tally::account(1);
    let append = cqrs::store::Append::to(stream, cqrs::ExpectedVersion::Any, vec![foreign]);
    let position = store.append(append).await.unwrap().position();
    let waited = looks_on.wait_for("accounts", position, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_projector_is_an_error_before_anything_is_sent() {
    let (store, read) = super::fresh::stores().await;
    let running = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    assert_eq!(running.waiter(["accounts", "account"]).unwrap_err().name, "account");
    assert!(running.wait_for("", Position::new(1), WITHIN).await.is_err());
    assert!(running.changes("nobody").is_err());
    assert!(running.rebuild("nobody").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_built_for_the_first_time_is_told_apart() {
    let (store, read) = super::fresh::stores().await;
    let slow: Arc<Knobs> = Arc::default();
    let position = add(&store, 1, 1).await;
    *slow.delay.lock().unwrap() = Duration::from_secs(2);
    let running = projections(&store, &read).projector(<Tally>::with(&slow)).start().await.unwrap();
    let waited = running.wait_for("accounts", position, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::Rebuilding);
    known(&running, "accounts", position).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_here_and_elsewhere() {
    let (store, read) = super::fresh::stores().await;
    let works = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let position = add(&store, 1, 1).await;
    known(&works, "accounts", position).await;
    let looks_on = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let mut here = Box::pin(works.changes("accounts").unwrap());
    let mut there = Box::pin(looks_on.changes("accounts").unwrap());
    for amount in 1..4 {
        let position = add(&store, 1, amount).await;
        for changes in
            [&mut here as &mut (dyn futures_util::Stream<Item = _> + Unpin + Send), &mut there]
        {
            let mut seen = Position::START;
            while seen < position {
                seen = tokio::time::timeout(WITHIN, changes.next()).await.unwrap().unwrap();
            }
        }
        assert_eq!(total(&read, "accounts").await.1, 1 + (1..=amount).sum::<i64>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_not_waited_for() {
    let (store, read) = super::fresh::stores().await;
    let stuck: Arc<Knobs> = Arc::default();
    let running =
        projections(&store, &read).projector(<Tally>::with(&stuck)).start().await.unwrap();
    let before = add(&store, 1, 1).await;
    known(&running, "accounts", before).await;
    *stuck.delay.lock().unwrap() = Duration::from_secs(3_600);
    add(&store, 1, 1).await;
    // What is long known is known at once, however stuck it is with what came later.
    let waited = running.wait_for("accounts", before, Duration::ZERO).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
}
