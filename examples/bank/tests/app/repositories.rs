//! The same account from events, from a stored state, and without the dispatcher.

use bank::domain::{Account, AccountCommand, AccountError, AccountEvent};
use cqrs::memory::MemoryStore;
use cqrs::{
    Aggregate, App, Command, Metadata, StreamName, Version,
    app::{DispatchError, Persistence, RandomIds},
    repository::{Changes, EventSourced, Repository, StateStored},
};

use crate::{account, close, deposit, eur, open, withdraw};

const A: u128 = 0xA;

/// The stored events, or why the bank rejected the command.
type Answer = Result<Vec<AccountEvent>, AccountError>;

/// Three ways to execute a command.
enum Teller {
    App(App),
    /// An application service: load, decide, save.
    Service(Box<dyn Repository<Account>>),
}

impl Teller {
    async fn ask(&self, command: impl Into<AccountCommand>) -> Answer {
        let command = command.into();
        match self {
            Self::App(app) => match app.dispatch(command).await {
                Ok(outcome) => Ok(outcome.events.into_iter().map(|e| e.event).collect()),
                Err(DispatchError::Rejected(reason)) => Err(reason),
                Err(error) => panic!("{error:?}"),
            },
            Self::Service(repository) => {
                let stream = StreamName::of(Account::CATEGORY, &command.aggregate_id()).unwrap();
                let mut loaded = repository.load(stream).await.unwrap();
                let events = loaded.state().execute(command)?;
                let changes = Changes::new(events, Metadata::default(), &RandomIds).unwrap();
                repository.save(&mut loaded, &changes).await.unwrap();
                Ok(changes.events().to_vec())
            }
        }
    }

    async fn state(&self) -> (Version, Account) {
        let id = account(A);
        let loaded = match self {
            Self::App(app) => app.load::<Account>(&id).await.unwrap(),
            Self::Service(repository) => {
                repository.load(StreamName::of(Account::CATEGORY, &id).unwrap()).await.unwrap()
            }
        };
        (loaded.version(), loaded.into_state())
    }
}

/// Checks the rules of an account and the events that they store.
async fn account_suite(teller: Teller) {
    let rejection = |answer: Answer| answer.unwrap_err();
    let accepted = |answer: Answer| assert_eq!(answer.unwrap().len(), 1);

    assert_eq!(rejection(teller.ask(deposit(A, "1.00")).await), AccountError::AccountNotFound);
    assert_eq!(rejection(teller.ask(open(A, " ", "1.00")).await), AccountError::BlankOwner);
    assert_eq!(teller.state().await, (Version::ZERO, Account::Unopened));

    accepted(teller.ask(open(A, "Alice", "100.00")).await);
    assert_eq!(
        rejection(teller.ask(open(A, "Mallory", "5.00")).await),
        AccountError::AlreadyOpened
    );
    accepted(teller.ask(deposit(A, "25.50")).await);
    assert_eq!(rejection(teller.ask(deposit(A, "0.00")).await), AccountError::NonPositiveAmount);
    let (balance, requested) = (eur("125.50"), eur("125.51"));
    let reason = AccountError::InsufficientFunds { balance, requested };
    assert_eq!(rejection(teller.ask(withdraw(A, "125.51")).await), reason);
    assert_eq!(rejection(teller.ask(close(A)).await), AccountError::BalanceLeft { balance });
    accepted(teller.ask(withdraw(A, "125.50")).await);
    assert_eq!(teller.state().await, (Version::new(3), Account::Open { balance: eur("0.00") }));

    accepted(teller.ask(close(A)).await);
    assert_eq!(rejection(teller.ask(deposit(A, "1.00")).await), AccountError::AccountClosed);
    assert_eq!(teller.state().await, (Version::new(4), Account::Closed));
}

#[tokio::test]
async fn the_account_works_from_events() {
    account_suite(Teller::App(App::new(MemoryStore::new()))).await;
}

#[tokio::test]
async fn the_account_works_from_a_stored_state() {
    let store = MemoryStore::new();
    let persistence = Persistence::<Account>::state(store.clone(), "account-1");
    account_suite(Teller::App(App::builder(store).aggregate(persistence).build().unwrap())).await;
}

#[tokio::test]
async fn the_account_works_through_an_application_service() {
    let store = MemoryStore::new();
    account_suite(Teller::Service(Box::new(EventSourced::new(store)))).await;
    let store = MemoryStore::new();
    let states = StateStored::new(store.clone(), store, "account-1");
    account_suite(Teller::Service(Box::new(states))).await;
}
