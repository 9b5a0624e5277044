//! The read models, the same in memory and in Postgres.

use std::time::Duration;

use bank::domain::transfer::{
    FailTransfer, MarkTransferAsCredited, MarkTransferAsDebited, StartTransfer,
};
use bank::domain::{FailureReason, TransferId};
use bank::read::{
    AccountRow, Month, QueryError, ReadModels, Statement, TransferRow, TransferStatus,
};
use cluster::Database;
use cqrs::{App, EventStore, Position, Timestamp, event::Uuid, projection::Waited};
use example_shared::{OpenReadStore, StoreArguments};

use crate::{account, close, deposit, eur, noon, open, withdraw};

const WITHIN: Duration = Duration::from_secs(60);

/// Opens a bank in memory and one in a new database.
pub(crate) async fn banks() -> Vec<(&'static str, App, StoreArguments)> {
    let database = Database::create().await;
    let postgres = StoreArguments::postgres(&database.url());
    let _ = database.keep();
    let mut banks = Vec::new();
    for (name, arguments) in [("memory", StoreArguments::default()), ("postgres", postgres)] {
        let store = arguments.open("bank", cqrs::app::SystemClock).await.unwrap();
        banks.push((name, App::new(store), arguments));
    }
    banks
}

async fn start(app: &App, arguments: &StoreArguments) -> ReadModels {
    let read = arguments.open_read("bank").await.unwrap();
    start_in(app, read).await
}

async fn start_in(app: &App, read: OpenReadStore) -> ReadModels {
    ReadModels::start(app, read).await.unwrap()
}

/// Waits until the read models contain every event.
async fn shown(app: &App, read: &ReadModels) -> Position {
    assert!(read.wait_until_built(WITHIN).await.unwrap());
    let head = app.store().head().await.unwrap();
    assert_eq!(read.projections().waiter([]).unwrap().wait(head, WITHIN).await, Waited::CaughtUp);
    head
}

fn transfer(n: u128) -> TransferId {
    Uuid::from_u128(0x7000 + n).into()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn start_transfer(n: u128, amount: &str) -> StartTransfer {
    StartTransfer {
        transfer_id: transfer(n),
        source_id: account(1),
        target_id: account(2),
        amount: eur(amount),
        at: at("2026-03-01T10:00:00Z"),
    }
}

#[tokio::test]
async fn accounts_are_listed_with_current_balances_oldest_first() {
    for (name, app, arguments) in banks().await {
        let read = start(&app, &arguments).await;
        // The order of the ids differs from the order in which the accounts were opened.
        app.dispatch(open(2, "Alice", "100.00")).await.unwrap();
        app.dispatch(open(1, "Bob", "0.00")).await.unwrap();
        app.dispatch(deposit(2, "25.50")).await.unwrap();
        app.dispatch(withdraw(2, "0.50")).await.unwrap();
        app.dispatch(close(1)).await.unwrap();
        shown(&app, &read).await;
        let row = |id, owner: &str, balance, closed| AccountRow {
            id: account(id),
            owner: owner.to_owned(),
            balance: eur(balance),
            opened_at: noon(),
            closed,
        };
        let expected = [row(2, "Alice", "125.00", false), row(1, "Bob", "0.00", true)];
        assert_eq!(read.accounts().await.unwrap(), expected, "{name}");
        let alice = read.account(account(2)).await.unwrap();
        assert_eq!(alice.as_ref(), Some(&expected[0]), "{name}");
        assert_eq!(read.account(account(3)).await.unwrap(), None, "{name}");
        read.projections().stop().await;
    }
}

#[tokio::test]
async fn a_transfer_shows_its_progress() {
    for (name, app, arguments) in banks().await {
        let read = start(&app, &arguments).await;
        let show = || async {
            shown(&app, &read).await;
            read.transfer(transfer(1)).await.unwrap().unwrap()
        };
        app.dispatch(start_transfer(1, "30.00")).await.unwrap();
        let started = TransferRow {
            id: transfer(1),
            source_id: account(1),
            target_id: account(2),
            amount: eur("30.00"),
            status: TransferStatus::Debiting,
            started_at: at("2026-03-01T10:00:00Z"),
            finished_at: None,
            reason: None,
        };
        assert_eq!(show().await, started, "{name}");
        let (transfer_id, debited) = (transfer(1), at("2026-03-01T10:00:01Z"));
        app.dispatch(MarkTransferAsDebited { transfer_id, at: debited }).await.unwrap();
        assert_eq!(show().await.status, TransferStatus::Crediting, "{name}");
        let finished = at("2026-03-01T10:00:02.000001Z");
        app.dispatch(MarkTransferAsCredited { transfer_id, at: finished }).await.unwrap();
        let done = show().await;
        let status = TransferStatus::Done;
        assert_eq!(done, TransferRow { status, finished_at: Some(finished), ..started }, "{name}");
        read.projections().stop().await;
    }
}

/// Returns the rows of all read models as text.
async fn everything(read: &ReadModels) -> String {
    let month: Month = "2026-03".parse().unwrap();
    let accounts = read.accounts().await.unwrap();
    let mut statements = Vec::new();
    for account in &accounts {
        statements.push(read.statement(account.id, month).await.unwrap());
    }
    let transfers = read.transfers(100).await.unwrap();
    let feed = read.feed(100).await.unwrap();
    format!("{accounts:#?}{transfers:#?}{feed:#?}{statements:#?}")
}

#[tokio::test]
async fn rebuilding_or_dropping_the_read_models_restores_the_same_rows() {
    for (name, app, arguments) in banks().await {
        let store = arguments.open_read("bank").await.unwrap();
        let read = start_in(&app, store).await;
        app.dispatch(open(1, "Alice", "100.00")).await.unwrap();
        app.dispatch(open(2, "Bob", "0.00")).await.unwrap();
        app.dispatch(deposit(2, "25.50")).await.unwrap();
        for n in [1, 2] {
            app.dispatch(start_transfer(n, "30.00")).await.unwrap();
        }
        let (transfer_id, at) = (transfer(1), at("2026-03-02T00:00:00Z"));
        app.dispatch(MarkTransferAsDebited { transfer_id, at }).await.unwrap();
        app.dispatch(MarkTransferAsCredited { transfer_id, at }).await.unwrap();
        let (reason, refunded) = (FailureReason::InsufficientFunds, false);
        app.dispatch(FailTransfer { transfer_id: transfer(2), reason, refunded, at })
            .await
            .unwrap();
        shown(&app, &read).await;
        let before = everything(&read).await;
        assert!(before.contains("insufficient funds"), "{before}");

        for model in ReadModels::NAMES {
            read.projections().rebuild(model).await.unwrap();
        }
        assert!(read.wait_until_built(WITHIN).await.unwrap());
        assert_eq!(everything(&read).await, before, "{name}: rebuilt");
        read.projections().stop().await;

        arguments.open_read("bank").await.unwrap().drop_everything().await.unwrap();
        let read = start(&app, &arguments).await;
        shown(&app, &read).await;
        assert_eq!(everything(&read).await, before, "{name}: dropped");
        read.projections().stop().await;
    }
}

#[tokio::test]
async fn a_statement_sums_up_an_account_and_month() {
    for (name, app, arguments) in banks().await {
        let read = start(&app, &arguments).await;
        let february = at("2026-02-28T23:59:59.999999Z");
        let march = at("2026-03-01T00:00:00Z");
        app.dispatch(bank::domain::account::OpenAccount { at: february, ..open(1, "A", "10.00") })
            .await
            .unwrap();
        for (amount, at) in [("5.00", february), ("2.50", march), ("0.50", march)] {
            let deposit = bank::domain::account::DepositMoney { at, ..deposit(1, amount) };
            app.dispatch(deposit).await.unwrap();
        }
        let withdraw = bank::domain::account::WithdrawMoney { at: march, ..withdraw(1, "17.00") };
        app.dispatch(withdraw).await.unwrap();
        shown(&app, &read).await;
        let statement = |month: &str, opening, paid_in, paid_out, closing, entries| Statement {
            account_id: account(1),
            month: month.parse().unwrap(),
            opening: eur(opening),
            paid_in: eur(paid_in),
            paid_out: eur(paid_out),
            closing: eur(closing),
            entries,
        };
        for expected in [
            statement("2026-02", "0.00", "15.00", "0.00", "15.00", 2),
            statement("2026-03", "15.00", "3.00", "17.00", "1.00", 3),
        ] {
            let seen = read.statement(account(1), expected.month).await.unwrap();
            assert_eq!(seen, Some(expected), "{name}");
        }
        let never = read.statement(account(1), "2026-04".parse().unwrap()).await.unwrap();
        assert_eq!(never, None, "{name}");
        read.projections().stop().await;
    }
}

#[tokio::test]
async fn the_feed_lists_events_of_accounts_and_transfers_newest_first() {
    for (name, app, arguments) in banks().await {
        let read = start(&app, &arguments).await;
        app.dispatch(open(1, "Alice", "100.00")).await.unwrap();
        app.dispatch(start_transfer(1, "30.00")).await.unwrap();
        app.dispatch(withdraw(1, "30.00")).await.unwrap();
        shown(&app, &read).await;
        let feed = read.feed(2).await.unwrap();
        let feed: Vec<_> =
            feed.iter().map(|e| (e.position, &*e.name, e.amount, &*e.subject)).collect();
        let (thirty, subject) = (Some(eur("30.00")), format!("account-{}", account(1)));
        let transfer = format!("transfer-{}", transfer(1));
        let expected = [
            (3, "bank.money-withdrawn", thirty, &*subject),
            (2, "bank.transfer-started", thirty, &*transfer),
        ];
        assert_eq!(feed, expected, "{name}");
        read.projections().stop().await;
    }
}

#[tokio::test]
async fn a_command_can_wait_for_the_read_models() {
    for (name, app, arguments) in banks().await {
        let read = start(&app, &arguments).await;
        app.dispatch(open(1, "Alice", "100.00")).await.unwrap();
        shown(&app, &read).await;
        let waiter = read.projections().waiter([]).unwrap();
        let outcome = app.dispatch(deposit(1, "25.00")).wait_for(&waiter, WITHIN).await.unwrap();
        assert!(outcome.caught_up(), "{name}: {:?}", outcome.waited);
        let balance = read.account(account(1)).await.unwrap().unwrap().balance;
        assert_eq!(balance, eur("125.00"), "{name}");
        read.projections().stop().await;

        // The projectors are stopped, so the rows are not updated, but the command still takes effect.
        let late = Duration::from_millis(50);
        let outcome = app.dispatch(deposit(1, "1.00")).wait_for(&waiter, late).await.unwrap();
        assert_eq!((outcome.caught_up(), outcome.waited), (false, Some(Waited::Behind)), "{name}");
        assert_eq!(outcome.version.get(), 3);
        let plain = app.dispatch(deposit(1, "1.00")).await.unwrap();
        assert_eq!((plain.caught_up(), plain.waited), (false, None));
        let read = start(&app, &arguments).await;
        shown(&app, &read).await;
        let balance = read.account(account(1)).await.unwrap().unwrap().balance;
        assert_eq!(balance, eur("127.00"), "{name}");
        read.projections().stop().await;
    }
}

#[tokio::test]
async fn a_query_before_the_first_build_reports_it() {
    let read = cqrs::memory::MemoryReadStore::new();
    let app = App::new(cqrs::memory::MemoryStore::new());
    app.dispatch(open(1, "Alice", "100.00")).await.unwrap();
    // Nothing has run yet: the runtime has one thread, and this test does not wait.
    let side = start_in(&app, OpenReadStore::Memory(read)).await;
    assert!(matches!(side.accounts().await, Err(QueryError::NotBuilt)));
    shown(&app, &side).await;
    assert_eq!(side.accounts().await.unwrap().len(), 1);
}
