//! The rules hold in the log as well.

use bank::domain::transfer::StartTransfer;
use bank::domain::{Account, AccountError, AccountEvent, TransferError};
use cqrs::memory::MemoryStore;
use cqrs::{
    App, EventStore, EventStoreExt, Position, StreamName, app::DispatchError, event::Uuid,
    store::Read,
};

use crate::{account, deposit, eur, noon, open, withdraw};

const A: u128 = 0xA;

async fn alice_with(balance: &str) -> (MemoryStore, App) {
    let store = MemoryStore::new();
    let app = App::new(store.clone());
    app.dispatch(open(A, "Alice", balance)).await.unwrap();
    (store, app)
}

#[tokio::test]
async fn a_rejected_command_stores_nothing() {
    let store = MemoryStore::new();
    let app = App::new(store.clone());
    for (command, reason) in [
        (open(A, "Alice", "-0.01"), AccountError::NegativeInitialBalance),
        (open(A, "", "1.00"), AccountError::BlankOwner),
        (open(A, &"a".repeat(300), "1.00"), AccountError::OwnerTooLong),
        (open(A, "\0", "1.00"), AccountError::OwnerUnprintable),
    ] {
        let error = app.dispatch(command).await.unwrap_err();
        assert_eq!(error.rejected(), Some(&reason));
    }
    let error = app.dispatch(deposit(A, "1.00")).await.unwrap_err();
    assert!(matches!(error, DispatchError::Rejected(AccountError::AccountNotFound)));
    assert_eq!(store.head().await.unwrap(), Position::START);
}

#[tokio::test]
async fn opening_an_account_again_has_no_effect() {
    let (store, app) = alice_with("100.00").await;
    let error = app.dispatch(open(A, "Mallory", "5.00")).await.unwrap_err();
    assert_eq!(error.rejected(), Some(&AccountError::AlreadyOpened));
    let loaded = app.load::<Account>(&account(A)).await.unwrap();
    assert_eq!(loaded.state().balance(), Ok(eur("100.00")));
    assert_eq!(store.head().await.unwrap(), Position::new(1));
}

#[tokio::test]
async fn an_account_accepts_commands_after_a_rejection() {
    let (store, app) = alice_with("100.00").await;
    let error = app.dispatch(withdraw(A, "100.01")).await.unwrap_err();
    let (balance, requested) = (eur("100.00"), eur("100.01"));
    let reason = AccountError::InsufficientFunds { balance, requested };
    assert_eq!(error.rejected(), Some(&reason));
    assert_eq!(store.head().await.unwrap(), Position::new(1));
    app.dispatch(withdraw(A, "1.00")).await.unwrap();
    let loaded = app.load::<Account>(&account(A)).await.unwrap();
    assert_eq!(loaded.state().balance(), Ok(eur("99.00")));
}

#[tokio::test]
async fn a_rejected_transfer_has_no_stream() {
    let start = |target, amount| StartTransfer {
        transfer_id: Uuid::from_u128(1).into(),
        source_id: account(A),
        target_id: account(target),
        amount: eur(amount),
        at: noon(),
    };
    for (_, app, _) in crate::read::banks().await {
        for (command, reason) in [
            (start(A, "10.00"), TransferError::SameAccount),
            (start(0xB, "0.00"), TransferError::NonPositiveAmount),
            (start(0xB, "-5.00"), TransferError::NonPositiveAmount),
        ] {
            let error = app.dispatch(command).await.unwrap_err();
            assert_eq!(error.rejected(), Some(&reason));
        }
        assert_eq!(app.store().head().await.unwrap(), Position::START);
    }
}

/// Withdraws 20.00 in ten concurrent tasks, each with its own application.
async fn ten_withdrawals(store: &MemoryStore, apps: [App; 10]) {
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(apps.len()));
    let tasks = apps.map(|app| {
        let start = start.clone();
        tokio::spawn(async move {
            start.wait().await;
            app.dispatch(withdraw(A, "20.00")).await
        })
    });
    let mut rejected = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(outcome) => assert_eq!(outcome.events.len(), 1),
            Err(DispatchError::Rejected(AccountError::InsufficientFunds {
                balance,
                requested,
            })) => {
                assert_eq!((balance, requested), (eur("0.00"), eur("20.00")));
                rejected += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(rejected, 5);
    let stream = StreamName::of("account", &account(A)).unwrap();
    let read = Read::stream(stream).from_version(2);
    let events = store.read_as::<AccountEvent>(read).await.unwrap().collect().await.unwrap();
    let balances: Vec<_> = events
        .iter()
        .map(|recorded| match &recorded.event {
            AccountEvent::MoneyWithdrawn { new_balance, .. } => new_balance.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(balances, ["80.00", "60.00", "40.00", "20.00", "0.00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_concurrent_withdrawals_only_the_covered_ones_succeed() {
    let (store, app) = alice_with("100.00").await;
    ten_withdrawals(&store, std::array::from_fn(|_| app.clone())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_withdrawals_are_safe_across_ten_applications() {
    // Each application has its own cache, so conflicts occur in the store and are retried.
    let (store, _) = alice_with("100.00").await;
    ten_withdrawals(
        &store,
        std::array::from_fn(|_| App::builder(store.clone()).retries(50).build().unwrap()),
    )
    .await;
}
