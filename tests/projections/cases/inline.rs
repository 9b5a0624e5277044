//! Read models that change in the transaction of the append.

use std::sync::Arc;

use cqrs::{
    EventStore, ExpectedVersion,
    event::NewEvent,
    projection::{ConsumerState, InlineStore},
    store::{Append, AppendError},
};
use cqrs_testing::Tables;

use super::fresh::{Read, Rows, Store};
use super::{Tally, WITHIN, total};
use crate::tally::{Accounts, Knobs, Moved, Second, account, add, add_many};

async fn inline(store: &Store, read: &Read, knobs: &Arc<Knobs>) -> InlineStore<Store, Read> {
    InlineStore::builder(store.clone(), read.clone())
        .projector(<Tally>::with(knobs))
        .open()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_and_its_rows_are_visible_together() {
    let (store, read) = super::fresh::stores().await;
    let last = add_many(&store, 120, 3).await;
    let inline = inline(&store, &read, &Arc::default()).await;
    assert_eq!(total(&read, "accounts").await, (120, 120));
    for round in 1..=20 {
        let position = add(&inline, 1, 2).await;
        assert_eq!(position, last.plus(round));
        let round = i64::try_from(round).unwrap();
        assert_eq!(total(&read, "accounts").await, (120 + round, 120 + 2 * round));
    }
    let health = inline.projections().health().await.unwrap().remove(0);
    assert_eq!((health.state, health.lag), (ConsumerState::Live, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_inline_projector_fails_the_append() {
    let (store, read) = super::fresh::stores().await;
    let knobs: Arc<Knobs> = Arc::default();
    let inline = InlineStore::builder(store.clone(), read.clone())
        .projector(Tally::<Second>::new())
        .projector(<Tally>::with(&knobs))
        .open()
        .await
        .unwrap();
    add(&inline, 1, 1).await;
    for panics in [false, true] {
        knobs.failing.lock().unwrap().insert(2, panics);
        let event = NewEvent::of(&Moved::Added { amount: 7 }).unwrap();
        let append = Append::to(account(1), ExpectedVersion::Any, vec![event]);
        match inline.append(append).await {
            Err(AppendError::Projection { projector, source }) => {
                assert_eq!(projector.as_str(), "accounts");
                assert!(source.to_string().contains("position 2"), "{source}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.head().await.unwrap().get(), 1);
        for name in ["accounts", "second"] {
            assert_eq!(total(&read, name).await, (1, 1));
        }
    }
    knobs.repair();
    add(&inline, 1, 5).await;
    for name in ["accounts", "second"] {
        assert_eq!(total(&read, name).await, (2, 6));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_append_is_projected_once_and_a_failed_one_never() {
    let (store, read) = super::fresh::stores().await;
    let inline = inline(&store, &read, &Arc::default()).await;
    let event = NewEvent::of(&Moved::Added { amount: 7 }).unwrap();
    let append = Append::to(account(1), ExpectedVersion::NoStream, vec![event]);
    inline.append(append.clone()).await.unwrap();
    assert!(inline.append(append).await.unwrap().repeated);
    let event = NewEvent::of(&Moved::Added { amount: 7 }).unwrap();
    let conflict = Append::to(account(1), ExpectedVersion::NoStream, vec![event]);
    assert!(matches!(inline.append(conflict).await, Err(AppendError::Conflict(_))));
    inline.append(Append::to(account(1), ExpectedVersion::Any, vec![])).await.unwrap();
    assert_eq!(total(&read, "accounts").await, (1, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_projector_catches_up_with_appends_of_others() {
    let (store, read) = super::fresh::stores().await;
    let inline = inline(&store, &read, &Arc::default()).await;
    add(&inline, 1, 1).await;
    add_many(&store, 100, 3).await;
    assert_eq!(total(&read, "accounts").await, (1, 1));
    add(&inline, 1, 1).await;
    assert_eq!(total(&read, "accounts").await, (102, 102));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_inline_appends_are_projected_once() {
    let (store, read) = super::fresh::stores().await;
    let inline = inline(&store, &read, &Arc::default()).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (inline, store) = (inline.clone(), store.clone());
            tokio::spawn(async move {
                for turn in 0..10 {
                    // Some appends bypass the projectors.
                    if writer < 6 {
                        add(&inline, turn % 3, 1).await;
                    } else {
                        add(&store, turn % 3, 1).await;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    add(&inline, 1, 1).await;
    assert_eq!(total(&read, "accounts").await, (81, 81));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_read_model_is_rebuilt_beside_the_live_one() {
    let (store, read) = super::fresh::stores().await;
    let inline = inline(&store, &read, &Arc::default()).await;
    add_many(&inline, 60, 3).await;
    inline.projections().rebuild("accounts").await.unwrap();
    add(&inline, 1, 1).await;
    assert!(inline.projections().wait_until_built("accounts", WITHIN).await.unwrap());
    assert_eq!(total(&read, "accounts").await, (61, 61));
    add(&inline, 1, 1).await;
    assert_eq!(total(&read, "accounts").await, (62, 62));

    // A new version is built before the store is opened.
    drop(inline);
    let newer = InlineStore::builder(store.clone(), read.clone())
        .projector(Tally::<Accounts, 2>::new())
        .open()
        .await
        .unwrap();
    add(&newer, 1, 1).await;
    assert_eq!(total(&read, "accounts").await, (63, 63));
    assert!(Rows::rows(&read, "accounts").await.is_some());
}
