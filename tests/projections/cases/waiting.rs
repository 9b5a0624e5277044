//! Waiting for read models, and streams of their changes.

use std::sync::Arc;
use std::time::Duration;

use cqrs::{EventStore, Position, projection::Waited};
use futures_util::StreamExt;

use super::{Tally, WITHIN, caught_up, projections, total};
use crate::tally::{Knobs, Second, add};

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_read_model_returns_after_the_write_is_visible() {
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
    // Positions that were reached before return at once.
    assert_eq!(all.wait(Position::START, Duration::ZERO).await, Waited::CaughtUp);
    assert_eq!(all.wait(Position::new(3), Duration::ZERO).await, Waited::CaughtUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_reports_a_slow_projector_as_behind() {
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
    // The other projector is not delayed, and the same position can be waited for again.
    assert_eq!(running.wait_for("second", position, WITHIN).await.unwrap(), Waited::CaughtUp);
    assert_eq!(running.wait_for("accounts", position, WITHIN).await.unwrap(), Waited::CaughtUp);
    assert_eq!(store.head().await.unwrap(), position);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_works_on_another_node() {
    let (store, read) = super::fresh::stores().await;
    let works = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let position = add(&store, 1, 1).await;
    caught_up(&works, "accounts", position).await;
    // Another node, which has no partition.
    let observer = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    for round in 2..=5 {
        let position = add(&store, 1, 1).await;
        let waited = observer.wait_for("accounts", position, WITHIN).await.unwrap();
        assert_eq!(waited, Waited::CaughtUp);
        assert_eq!(total(&read, "accounts").await.0, round);
    }
    // Also for an event that does not concern the projector.
    let foreign = cqrs::event::NewEvent::json("other.happened", "x").unwrap();
    let stream = crate::tally::account(1);
    let append = cqrs::store::Append::to(stream, cqrs::ExpectedVersion::Any, vec![foreign]);
    let position = store.append(append).await.unwrap().position();
    let waited = observer.wait_for("accounts", position, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_projector_is_an_error() {
    let (store, read) = super::fresh::stores().await;
    let running = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let unknown = running.waiter(["accounts", "account"]).unwrap_err();
    assert_eq!(unknown.to_string(), "no projector `account`");
    assert!(running.wait_for("", Position::new(1), WITHIN).await.is_err());
    assert!(running.changes("unknown").is_err());
    assert!(running.rebuild("unknown").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_reports_the_first_build() {
    let (store, read) = super::fresh::stores().await;
    let slow: Arc<Knobs> = Arc::default();
    let position = add(&store, 1, 1).await;
    *slow.delay.lock().unwrap() = Duration::from_secs(2);
    let running = projections(&store, &read).projector(<Tally>::with(&slow)).start().await.unwrap();
    let waited = running.wait_for("accounts", position, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::Rebuilding);
    caught_up(&running, "accounts", position).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_reported_on_every_node() {
    let (store, read) = super::fresh::stores().await;
    let works = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let position = add(&store, 1, 1).await;
    caught_up(&works, "accounts", position).await;
    let observer = projections(&store, &read).projector(<Tally>::new()).start().await.unwrap();
    let mut here = Box::pin(works.changes("accounts").unwrap());
    let mut there = Box::pin(observer.changes("accounts").unwrap());
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
async fn waiting_for_a_known_position_returns_at_once() {
    let (store, read) = super::fresh::stores().await;
    let stuck: Arc<Knobs> = Arc::default();
    let running =
        projections(&store, &read).projector(<Tally>::with(&stuck)).start().await.unwrap();
    let before = add(&store, 1, 1).await;
    caught_up(&running, "accounts", before).await;
    *stuck.delay.lock().unwrap() = Duration::from_secs(3_600);
    add(&store, 1, 1).await;
    // An earlier position is reported at once, although the projector is busy with a later event.
    let waited = running.wait_for("accounts", before, Duration::ZERO).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
}
