//! States of aggregates, with and without events.

use cqrs_core::{
    Version,
    event::Payload,
    store::{Append, AppendError, Conflict, SaveStateError, State, StoredState},
};
use futures_util::future::join_all;

use super::fixtures::{Any, Fresh, append, assert_sound, conflict, events, exact, stream};

fn state(text: &str) -> State {
    State::new("shape 1", Payload::from_json(format!("{{ \"text\":\"{text}\" }}")).unwrap())
}

pub(super) async fn a_state_is_written_with_its_events(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let (a, b) = (stream("a-1"), stream("b-1"));
    assert_eq!(store.load_state(&a).await.unwrap(), None);
    let first = Append::to(a.clone(), exact(0), events(2)).with_state(state("🦀"));
    store.append(first.clone()).await.unwrap();
    let kept = StoredState::new(Version::new(2), state("🦀"));
    assert_eq!(store.load_state(&a).await.unwrap(), Some(kept.clone()));

    // An append that fails for any reason leaves the state unchanged.
    let stale = Append::to(a.clone(), exact(1), events(1)).with_state(state("stale"));
    conflict(store.append(stale).await);
    let half = Append::to(a.clone(), exact(2), events(1))
        .with_state(state("half"))
        .and_to(b.clone(), exact(9), events(1))
        .with_state(state("half"));
    conflict(store.append(half).await);
    let turned = first.streams[0].events.iter().rev().cloned().collect();
    let duplicate = Append::to(a.clone(), exact(2), turned);
    let result = store.append(duplicate.with_state(state("duplicate"))).await;
    assert!(matches!(result, Err(AppendError::DuplicateEvent { .. })), "{result:?}");
    assert!(store.append(first).await.unwrap().repeated);
    assert_eq!(store.load_state(&a).await.unwrap(), Some(kept.clone()));
    assert_eq!(store.load_state(&b).await.unwrap(), None);

    // An append to several streams writes all of their states.
    let both = Append::to(a.clone(), exact(2), events(3))
        .with_state(state("more"))
        .and_to(b.clone(), exact(0), events(1))
        .with_state(state("b"));
    store.append(both).await.unwrap();
    let more = StoredState::new(Version::new(5), state("more"));
    assert_eq!(store.load_state(&a).await.unwrap(), Some(more.clone()));
    let of_b = StoredState::new(Version::new(1), state("b"));
    assert_eq!(store.load_state(&b).await.unwrap(), Some(of_b));
    // An append without a state leaves the stored state unchanged.
    append(&store, "a-1", Any, 1).await.unwrap();
    assert_eq!(store.load_state(&a).await.unwrap(), Some(more));
    assert_eq!(assert_sound(&store).await.len(), 7);
}

fn changed(result: Result<Version, SaveStateError>) -> Conflict {
    match result {
        Err(SaveStateError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

pub(super) async fn a_state_without_events_has_its_own_version(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let name = stream("settings");
    let save =
        async |expected, text| store.save_state(&name, Version::new(expected), state(text)).await;
    assert_eq!(changed(save(1, "x").await).actual, Version::ZERO);
    assert_eq!(save(0, "one").await.unwrap(), Version::new(1));
    for stale in [0, 2, u64::MAX] {
        let conflict = changed(save(stale, "stale").await);
        assert_eq!((&conflict.stream, conflict.actual), (&name, Version::new(1)));
    }
    assert_eq!(save(1, "two").await.unwrap(), Version::new(2));
    let kept = StoredState::new(Version::new(2), state("two"));
    assert_eq!(store.load_state(&name).await.unwrap(), Some(kept));
    assert!(assert_sound(&store).await.is_empty(), "a state without events creates no stream");
    assert_eq!(store.stream_info(&name).await.unwrap(), None);
}

pub(super) async fn exactly_one_of_several_state_writers_succeeds(fresh: &Fresh<'_>) {
    let store = fresh().await;
    for round in 0..10 {
        let savers = (0..5).map(|n| {
            let store = store.clone();
            let state = state(&n.to_string());
            tokio::spawn(async move {
                store.save_state(&stream("settings"), Version::new(round), state).await
            })
        });
        let saved: Vec<_> = join_all(savers).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(saved.iter().filter(|saved| saved.is_ok()).count(), 1, "round {round}");
        for lost in saved.into_iter().filter(Result::is_err) {
            assert_eq!(changed(lost).actual, Version::new(round + 1));
        }
    }
}
