use bank::domain::account::DepositMoney;
use bank::read::{Entry, RECENT, history};
use cqrs::memory::MemoryStore;
use cqrs::{App, Version, event::Uuid};

use crate::{account, close, deposit, eur, noon, open, withdraw};

const A: u128 = 0xA;

#[tokio::test]
async fn a_history_has_the_last_twenty_events_newest_first() {
    for (_, app, _) in crate::read::banks().await {
        app.dispatch(open(A, "Alice", "0.00")).await.unwrap();
        for _ in 0..22 {
            app.dispatch(deposit(A, "1.00")).await.unwrap();
        }
        app.dispatch(withdraw(A, "2.50")).await.unwrap();
        let transfer_id = Some(Uuid::from_u128(0x71).into());
        app.dispatch(DepositMoney { transfer_id, ..deposit(A, "3.00") }).await.unwrap();

        let entries = history(app.store(), account(A), RECENT).await.unwrap();
        let versions: Vec<_> = entries.iter().map(|entry| entry.version.get()).collect();
        assert_eq!(versions, (6..=25).rev().collect::<Vec<_>>());
        let newest = Entry {
            version: Version::new(25),
            name: "bank.money-deposited",
            at: noon(),
            change: eur("3.00"),
            balance: eur("22.50"),
            transfer_id,
        };
        assert_eq!(entries[0], newest);
        assert_eq!((entries[1].change, entries[1].balance), (eur("-2.50"), eur("19.50")));
        assert_eq!(entries[1].transfer_id, None);
    }
}

#[tokio::test]
async fn a_short_history_is_complete_and_a_missing_account_has_none() {
    let store = MemoryStore::new();
    let app = App::new(store.clone());
    assert_eq!(history(&store, account(A), RECENT).await.unwrap(), []);
    app.dispatch(open(A, "Alice", "0.00")).await.unwrap();
    app.dispatch(close(A)).await.unwrap();
    let entries = history(&store, account(A), RECENT).await.unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["bank.account-closed", "bank.account-opened"]);
}
