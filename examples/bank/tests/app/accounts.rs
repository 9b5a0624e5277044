use bank::read::{AccountRow, accounts};
use cqrs::App;
use cqrs::memory::MemoryStore;

use crate::{account, close, deposit, eur, noon, open, withdraw};

#[tokio::test]
async fn all_accounts_as_they_are_now_the_oldest_first() {
    let store = MemoryStore::new();
    let app = App::new(store.clone());
    assert_eq!(accounts(&store).await.unwrap(), []);
    // Ids in the other order than the openings.
    app.dispatch(open(2, "Alice", "100.00")).await.unwrap();
    app.dispatch(open(1, "Bob", "0.00")).await.unwrap();
    app.dispatch(deposit(2, "25.50")).await.unwrap();
    app.dispatch(withdraw(2, "0.50")).await.unwrap();
    app.dispatch(close(1)).await.unwrap();
    let row = |id, owner: &str, balance, closed| AccountRow {
        id: account(id),
        owner: owner.to_owned(),
        balance: eur(balance),
        opened_at: noon(),
        closed,
    };
    let expected = [row(2, "Alice", "125.00", false), row(1, "Bob", "0.00", true)];
    assert_eq!(accounts(&store).await.unwrap(), expected);
}
