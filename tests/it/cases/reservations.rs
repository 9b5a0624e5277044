//! Unique keys that only one aggregate may hold at a time.

use cqrs::{
    Aggregate, App, Command, Event, EventStoreExt, StreamName,
    aggregate::{ReservationError, Reservations, UniqueKey},
    app::DispatchError,
    event::Uuid,
    store::Read,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::fresh::fresh;

/// A user whose e-mail addresses are unique.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct User {
    emails: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = User, id = user)]
struct Change {
    user: String,
    take: Vec<String>,
    give: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Event)]
enum UserEvent {
    #[event(name = "test.email-taken")]
    Taken { email: String },
    #[event(name = "test.email-given-up")]
    GivenUp { email: String },
}

#[derive(Debug, thiserror::Error)]
#[error("rejected")]
struct Rejected;

impl Aggregate for User {
    const CATEGORY: &'static str = "user";
    type Id = String;
    type Command = Change;
    type Event = UserEvent;
    type Error = Rejected;

    fn execute(&self, change: Change) -> Result<Vec<UserEvent>, Rejected> {
        let given = change.give.into_iter().map(|email| UserEvent::GivenUp { email });
        let taken = change.take.into_iter().map(|email| UserEvent::Taken { email });
        Ok(given.chain(taken).collect())
    }

    fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::Taken { email } => self.emails.push(email.clone()),
            UserEvent::GivenUp { email } => self.emails.retain(|other| other != email),
        }
    }

    fn reservations(&self, events: &[UserEvent]) -> Reservations {
        events.iter().fold(Reservations::none(), |all, event| match event {
            UserEvent::Taken { email } => all.reserve(key(email)),
            UserEvent::GivenUp { email } => all.release(key(email)),
        })
    }
}

fn key(email: &str) -> UniqueKey {
    UniqueKey::new("e-mail", email).ignoring_case()
}

fn change(user: &str, take: &[&str], give: &[&str]) -> Change {
    let owned = |list: &[&str]| list.iter().map(|email| (*email).to_owned()).collect();
    Change { user: user.to_owned(), take: owned(take), give: owned(give) }
}

fn reservation_error(
    answer: Result<cqrs::Outcome<User>, DispatchError<Rejected>>,
) -> ReservationError {
    match answer {
        Err(DispatchError::Reservation(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn taken(email: &str, by: &str) -> ReservationError {
    let owner = StreamName::of("user", &by).unwrap();
    ReservationError::AlreadyTaken { key: key(email), owner }
}

async fn emails(app: &App, user: &str) -> Vec<String> {
    app.load::<User>(&user.to_owned()).await.unwrap().into_state().emails
}

#[tokio::test]
async fn of_many_concurrent_reservations_of_a_key_one_succeeds() {
    let store = fresh().await;
    // Two applications, so that the cache of one does not help.
    let apps = [App::new(store.clone()), App::new(store.clone())];
    let dispatches = (0..50).map(|n| {
        let command = change(&format!("u{n}"), &["a@b.c"], &[]);
        apps[n % 2].dispatch(command)
    });
    let answers = join_all(dispatches).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(won, 1);
    let holder = apps[0].unique_key_owner(&key("A@B.C")).await.unwrap().unwrap();
    let winner = answers.iter().position(Result::is_ok).unwrap();
    assert_eq!(holder.as_str(), format!("user-u{winner}"));
    for answer in answers.into_iter().filter(Result::is_err) {
        assert_eq!(reservation_error(answer), taken("a@b.c", &format!("u{winner}")));
    }
    let log = store.read_as::<UserEvent>(Read::all().of::<UserEvent>()).await.unwrap();
    let log = log.collect().await.unwrap();
    assert_eq!(log.len(), 1);
    // The same for an application that starts later.
    let later = App::new(store).dispatch(change("late", &["a@b.c"], &[])).await;
    assert_eq!(reservation_error(later), taken("a@b.c", &format!("u{winner}")));
}

#[tokio::test]
async fn a_key_can_be_reserved_by_another_aggregate_after_its_release() {
    let app = App::new(fresh().await);
    app.dispatch(change("ann", &["a@x"], &[])).await.unwrap();
    app.dispatch(change("ann", &["a@x"], &[])).await.unwrap();
    assert_eq!(
        reservation_error(app.dispatch(change("bob", &["a@x"], &[])).await),
        taken("a@x", "ann")
    );
    // Replaces one key with another in one decision.
    app.dispatch(change("ann", &["b@x"], &["a@x"])).await.unwrap();
    app.dispatch(change("bob", &["a@x"], &[])).await.unwrap();
    let foreign = reservation_error(app.dispatch(change("bob", &[], &["b@x"])).await);
    assert_eq!(foreign, ReservationError::NotHeld { key: key("b@x") });
    assert_eq!(app.unique_key_owner(&key("b@x")).await.unwrap().unwrap().as_str(), "user-ann");
    // Releases and reserves the same key in one decision.
    app.dispatch(change("bob", &["a@x"], &["a@x"])).await.unwrap();
    assert_eq!(app.unique_key_owner(&key("a@x")).await.unwrap().unwrap().as_str(), "user-bob");
    app.dispatch(change("bob", &[], &["a@x"])).await.unwrap();
    assert_eq!(app.unique_key_owner(&key("a@x")).await.unwrap(), None);
    assert_eq!(app.unique_key_owner(&UniqueKey::new("phone", "a@x")).await.unwrap(), None);
}

#[tokio::test]
async fn several_keys_are_reserved_together_or_not_at_all() {
    let app = App::new(fresh().await);
    app.dispatch(change("ann", &["B@x"], &[])).await.unwrap();
    let clash = reservation_error(app.dispatch(change("bob", &["a@x", "b@X"], &[])).await);
    assert_eq!(clash, taken("b@x", "ann"));
    assert_eq!(clash.to_string(), "e-mail `b@x` is already taken");
    assert_eq!(app.unique_key_owner(&key("a@x")).await.unwrap(), None);
    assert!(emails(&app, "bob").await.is_empty());
    let long = "x".repeat(3_000);
    let invalid = reservation_error(app.dispatch(change("bob", &[&long], &[])).await);
    assert!(matches!(invalid, ReservationError::Invalid { .. }), "{invalid:?}");
    let hostile = ["", "'; drop table events; --", "%", "\u{1f}", "ü🦀"];
    for email in hostile {
        app.dispatch(change("bob", &[email], &[])).await.unwrap();
        assert_eq!(
            reservation_error(app.dispatch(change("eve", &[email], &[])).await),
            taken(email, "bob")
        );
    }
    assert_eq!(emails(&app, "bob").await, hostile);
}

#[tokio::test]
async fn a_repeated_command_does_not_conflict_with_its_own_reservation() {
    let store = fresh().await;
    let (first, second) = (App::new(store.clone()), App::new(store));
    let id = Uuid::from_u128(7);
    let outcome = first.dispatch(change("ann", &["a@x"], &[])).command_id(id).await.unwrap();
    // Its own reservation does not conflict with it.
    let again = second.dispatch(change("ann", &["a@x"], &[])).command_id(id).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.version, again.position), (outcome.version, outcome.position));
    assert_eq!(emails(&second, "ann").await, ["a@x"]);
}
