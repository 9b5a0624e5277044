//! The same domain over events, over a state row, and without the dispatcher.

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
async fn the_same_story_over_events_and_over_state() {
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
    // The row is there, and it is what the events say.
    let row = state.load_state(&stream()).await.unwrap().unwrap();
    let folded = apps[0].load::<Ledger>(&"a".into()).await.unwrap();
    assert_eq!(row.version, folded.version());
    assert_eq!(&row.state.payload.decode::<Ledger>().unwrap(), folded.state());
    assert!(events.load_state(&stream()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_application_service_needs_no_dispatcher() {
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

        // Somebody who loaded before that is told, and nothing of it is stored.
        let events = stale.state().execute(put("x", 5)).unwrap();
        let changes = Changes::new(events, Metadata::default(), &RandomIds).unwrap();
        let error = repository.save(&mut stale, &changes).await.unwrap_err();
        assert!(matches!(error, AppendError::Conflict(_)));
        repository.refresh(&mut stale).await.unwrap();
        assert_eq!(stale.state(), ledger.state());
        let refusal = stale.state().execute(take("x", 11)).unwrap_err();
        assert_eq!(refusal, LedgerError::NotEnough { wanted: 11, left: 10 });
        assert_eq!(repository.load(stream).await.unwrap().version(), Version::new(1));
    }
}

#[tokio::test]
async fn two_saves_of_one_version_of_a_state_conflict_once() {
    let store = fresh().await;
    let app = state_stored(&store);
    app.dispatch(put("a", 1)).await.unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    let repository = app.repository::<Ledger>().unwrap();
    // Both have seen the same before either saves.
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
async fn a_state_row_that_is_behind_missing_or_of_another_shape_is_made_good() {
    let store = fresh().await;
    let app = state_stored(&store);
    app.dispatch(put("a", 10)).await.unwrap();
    // Somebody appends without the row.
    store.append_events(&stream(), ExpectedVersion::Any, &[LedgerEvent::Taken(4)]).await.unwrap();
    let other = state_stored(&store);
    let refused = other.dispatch(take("a", 7)).await.unwrap_err();
    assert_eq!(refused.rejected(), Some(&LedgerError::NotEnough { wanted: 7, left: 6 }));
    other.dispatch(take("a", 6)).await.unwrap();
    assert_eq!(store.load_state(&stream()).await.unwrap().unwrap().version, Version::new(3));

    // The shape changed: the tag tells, the row is not believed, and the events are folded.
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
async fn changes_that_were_saved_before_are_not_taken_in_twice() {
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
        // The answer was lost, say: the same changes again.
        assert!(repository.save(&mut ledger, &changes).await.unwrap().repeated);
        assert_eq!((ledger.version(), ledger.state().sum), (Version::new(1), 10));
        repository.refresh(&mut ledger).await.unwrap();
        assert_eq!((ledger.version(), ledger.state().sum), (Version::new(1), 10));
    }
}

#[tokio::test]
async fn a_panic_while_a_state_is_saved_leaves_nothing_and_claims_nothing() {
    let store = fresh().await;
    let app = state_stored(&store);
    app.dispatch(put("a", 1)).await.unwrap();
    for command in [put("a", 665), change("a", What::Poison)] {
        // Whether the store was reached is more than the caller of a panic can know.
        let error = app.dispatch(command).await.unwrap_err();
        assert!(matches!(error, DispatchError::OutcomeUnknown { .. }), "{error}");
    }
    assert_eq!(store.head().await.unwrap(), Position::new(1));
    assert_eq!(app.dispatch(put("a", 1)).await.unwrap().version, Version::new(2));
}
