//! The same domain with events, with a stored state, and without dispatch.

use super::fresh::{Store, fresh};
use cqrs::{aggregate::*, app::*, event::*, repository::*, store::*};

use super::ledger::{Ledger, LedgerError, LedgerEvent, What, change, put, take};

fn stream() -> StreamName {
    StreamName::new("ledger-a").unwrap()
}

fn state_stored(store: &Store) -> App {
    App::builder(store.clone())
        .aggregate::<Ledger>(Persistence::state(store.clone(), "1"))
        .build()
        .unwrap()
}

#[tokio::test]
async fn events_and_stored_states_give_the_same_results() {
    let (events, state) = (fresh().await, fresh().await);
    let apps = [App::new(events.clone()), state_stored(&state)];
    let story = [
        put("a", 10),
        take("a", 11),
        change("a", What::TakeAll(vec![4, 4])),
        change("a", What::TakeAll(vec![2, 1])),
        change("a", What::Nothing),
        change("a", What::Unstorable),
        take("a", 2),
    ];
    for command in story {
        let mut answers = Vec::new();
        for app in &apps {
            let answer = app.dispatch(command.clone()).with_state().await;
            answers
                .push(answer.map(|o| (o.version, o.position, o.state)).map_err(|e| e.to_string()));
        }
        assert_eq!(answers[0], answers[1], "{command:?}");
    }
    // The state is stored, and equals the one computed from the events.
    let row = state.load_state(&stream()).await.unwrap().unwrap();
    let folded = apps[0].load::<Ledger>(&"a".into()).await.unwrap();
    assert_eq!(row.version, folded.version());
    assert_eq!(&row.state.payload.decode::<Ledger>().unwrap(), folded.state());
    assert!(events.load_state(&stream()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_repository_can_be_used_without_dispatch() {
    let store = fresh().await;
    let repositories: [Box<dyn Repository<Ledger>>; 2] = [
        Box::new(EventSourced::new(store.clone())),
        Box::new(StateStored::new(store.clone(), store.clone(), "1")),
    ];
    for (n, repository) in repositories.into_iter().enumerate() {
        let stream = StreamName::new(format!("ledger-{n}")).unwrap();
        let mut ledger = repository.load(stream.clone()).await.unwrap();
        assert_eq!(ledger.version(), Version::ZERO);
        let events = ledger.state().execute(put("x", 10)).unwrap();
        let changes = Changes::new(events, Metadata::default(), &RandomIds).unwrap();
        let mut stale = repository.load(stream.clone()).await.unwrap();
        repository.save(&mut ledger, &changes).await.unwrap();
        assert_eq!((ledger.version(), ledger.state().sum), (Version::new(1), 10));

        // Another writer that loaded before gets a conflict, and nothing is stored.
        let events = stale.state().execute(put("x", 5)).unwrap();
        let changes = Changes::new(events, Metadata::default(), &RandomIds).unwrap();
        let error = repository.save(&mut stale, &changes).await.unwrap_err();
        assert!(matches!(error, AppendError::Conflict(_)));
        repository.refresh(&mut stale).await.unwrap();
        assert_eq!(stale.state(), ledger.state());
        let rejection = stale.state().execute(take("x", 11)).unwrap_err();
        assert_eq!(rejection, LedgerError::NotEnough { wanted: 11, left: 10 });
        assert_eq!(repository.load(stream).await.unwrap().version(), Version::new(1));
    }
}

#[tokio::test]
async fn of_two_saves_at_one_version_one_conflicts() {
    let store = fresh().await;
    let app = state_stored(&store);
    app.dispatch(put("a", 1)).await.unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    let repository = app.repository::<Ledger>().unwrap();
    // Both are loaded before either saves.
    let loaded =
        [repository.load(stream()).await.unwrap(), repository.load(stream()).await.unwrap()];
    let saves = (0..).zip(loaded).map(|(n, mut ledger)| {
        let repository = repository.clone();
        async move {
            let events = vec![LedgerEvent::Put(10 + n)];
            let changes = Changes::new(events, Metadata::default(), &RandomIds).unwrap();
            repository.save(&mut ledger, &changes).await
        }
    });
    let saved = futures_util::future::join_all(saves).await;
    assert_eq!(saved.iter().filter(|s| s.is_ok()).count(), 1);
    assert!(
        saved.iter().any(|s| matches!(s, Err(AppendError::Conflict(c)) if c.actual.get() == 3))
    );
    let row = store.load_state(&stream()).await.unwrap().unwrap();
    assert_eq!(row.version, Version::new(3));
}

#[tokio::test]
async fn an_outdated_or_incompatible_stored_state_is_rebuilt() {
    let store = fresh().await;
    let app = state_stored(&store);
    app.dispatch(put("a", 10)).await.unwrap();
    // Another writer appends without updating the state.
    store.append_events(&stream(), ExpectedVersion::Any, &[LedgerEvent::Taken(4)]).await.unwrap();
    let other = state_stored(&store);
    let rejected = other.dispatch(take("a", 7)).await.unwrap_err();
    assert_eq!(rejected.rejected(), Some(&LedgerError::NotEnough { wanted: 7, left: 6 }));
    other.dispatch(take("a", 6)).await.unwrap();
    assert_eq!(store.load_state(&stream()).await.unwrap().unwrap().version, Version::new(3));

    // With another tag, the stored state is ignored and rebuilt from the events.
    let wrong = State::new("1", Payload::encode(&Ledger { sum: 999 }).unwrap());
    let nothing = Append::to(stream(), Version::new(3), vec![]).with_state(wrong);
    store.append(nothing).await.unwrap();
    let newer = App::builder(store.clone())
        .aggregate::<Ledger>(Persistence::state(store.clone(), "2"))
        .build()
        .unwrap();
    assert_eq!(newer.load::<Ledger>(&"a".into()).await.unwrap().state().sum, 0);
    newer.dispatch(put("a", 1)).await.unwrap();
    assert_eq!(store.load_state(&stream()).await.unwrap().unwrap().state.tag, "2");
}

#[tokio::test]
async fn changes_that_were_saved_before_are_not_applied_twice() {
    let store = fresh().await;
    let repositories: [Box<dyn Repository<Ledger>>; 2] = [
        Box::new(EventSourced::new(store.clone())),
        Box::new(StateStored::new(store.clone(), store.clone(), "1")),
    ];
    for (n, repository) in repositories.into_iter().enumerate() {
        let stream = StreamName::new(format!("ledger-{n}")).unwrap();
        let mut ledger = repository.load(stream).await.unwrap();
        let changes =
            Changes::new(vec![LedgerEvent::Put(10)], Metadata::default(), &RandomIds).unwrap();
        assert!(!repository.save(&mut ledger, &changes).await.unwrap().repeated);
        // The same changes again, as after a lost answer.
        assert!(repository.save(&mut ledger, &changes).await.unwrap().repeated);
        assert_eq!((ledger.version(), ledger.state().sum), (Version::new(1), 10));
        repository.refresh(&mut ledger).await.unwrap();
        assert_eq!((ledger.version(), ledger.state().sum), (Version::new(1), 10));
    }
}

#[tokio::test]
async fn a_panic_while_saving_a_state_stores_nothing_and_leaves_the_outcome_unknown() {
    let store = fresh().await;
    let app = state_stored(&store);
    app.dispatch(put("a", 1)).await.unwrap();
    for command in [put("a", 665), change("a", What::Poison)] {
        // The caller cannot know whether the store was reached before the panic.
        let error = app.dispatch(command).await.unwrap_err();
        assert!(matches!(error, DispatchError::OutcomeUnknown { .. }), "{error}");
    }
    assert_eq!(store.head().await.unwrap(), Position::new(1));
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(2));
}
