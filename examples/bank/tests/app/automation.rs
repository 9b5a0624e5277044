//! Handlers, recurring commands, repeated events and seeds, on both stores.

use std::time::Duration;

use bank::domain::day::{Day, DayEvent};
use bank::domain::suspicion::SuspicionEvent;
use bank::domain::transfer::{MarkTransferAsCredited, StartTransfer};
use bank::domain::{Account, AccountError, Money, TransferId};
use bank::process::{FlagLargeWithdrawals, MoneyTransfer, ProcessSide};
use cluster::Database;
use cqrs::memory::MemoryReadStore;
use cqrs::{
    App, Event, EventHandler, EventStoreExt, ProcessManager, Recorded,
    app::{Clock, Persistence},
    event::Uuid,
    process::InstanceStatus,
    projection::Waited,
    repository::SnapshotPolicy,
    store::Read,
};
use cqrs_testing::{ManualClock, eventually};
use example_shared::{OpenReadStore, StoreArguments};

use crate::{account, close, deposit, eur, noon, open, withdraw};

const WITHIN: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_millis(300);

struct Bank {
    app: App,
    clock: ManualClock,
    arguments: StoreArguments,
    memory: MemoryReadStore,
}

impl Bank {
    async fn both(database: &Database) -> [Self; 2] {
        let open = async |arguments: StoreArguments| {
            let clock = ManualClock::at(noon());
            let store = arguments.open("bank", clock.clone()).await.unwrap();
            Self { app: App::new(store), clock, arguments, memory: MemoryReadStore::new() }
        };
        let postgres = StoreArguments::postgres(&database.url());
        [open(StoreArguments::default()).await, open(postgres).await]
    }

    /// Starts all processes, which are stored in a schema.
    async fn start(&self, schema: &str) -> ProcessSide {
        let store = match self.arguments.open_processes(schema).await.unwrap() {
            OpenReadStore::Memory(_) if schema == "bank" => {
                OpenReadStore::Memory(self.memory.clone())
            }
            other => other,
        };
        let running = ProcessSide::start(&self.app, self.clock.clone(), LEASE, store);
        let running = running.await.unwrap();
        for name in [MoneyTransfer::NAME, FlagLargeWithdrawals::NAME, "end_of_day"] {
            assert!(running.processes().wait_until_started(name, WITHIN).await.unwrap());
        }
        running
    }

    async fn log<E: Event>(&self) -> Vec<Recorded<E>> {
        let events = self.app.store().read_as(Read::all().of::<E>()).await.unwrap();
        events.collect().await.unwrap()
    }

    async fn handled(&self, running: &ProcessSide, name: &str) {
        let head = self.app.store().head().await.unwrap();
        let waited = running.processes().wait_for(name, head, WITHIN).await.unwrap();
        assert_eq!(waited, Waited::CaughtUp);
    }

    async fn ended(&self, running: &ProcessSide, transfer: TransferId) {
        eventually(WITHIN, || async {
            match running.transfer(transfer).await.unwrap() {
                Some(found) if found.status == InstanceStatus::Ended && !found.is_busy() => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })
        .await;
    }

    async fn balance(&self, n: u128) -> Money {
        self.app.load::<Account>(&account(n)).await.unwrap().state().balance().unwrap()
    }
}

#[tokio::test]
async fn a_large_withdrawal_is_flagged_once_even_if_it_is_handled_again() {
    let database = Database::create().await;
    for bank in Bank::both(&database).await {
        let running = bank.start("bank").await;
        bank.app.dispatch(open(1, "Alice", "50000.00")).await.unwrap();
        bank.app.dispatch(withdraw(1, "10000.00")).await.unwrap();
        bank.app.dispatch(withdraw(1, "10000.01")).await.unwrap();
        bank.handled(&running, FlagLargeWithdrawals::NAME).await;
        let flagged = bank.log::<SuspicionEvent>().await;
        assert_eq!(flagged.len(), 1);
        let SuspicionEvent::SuspiciousActivityFlagged { account_id, amount, .. } = flagged[0].event;
        assert_eq!((account_id, amount), (account(1), eur("10000.01")));
        assert!(flagged[0].stream.as_str().ends_with(&account(1).to_string()));
        // Another consumer without a checkpoint handles everything again.
        running.stop().await;
        let again = bank.start("again").await;
        bank.handled(&again, FlagLargeWithdrawals::NAME).await;
        assert_eq!(bank.log::<SuspicionEvent>().await.len(), 1);
        again.stop().await;
    }
}

#[tokio::test]
async fn repeated_and_late_events_have_no_effect() {
    let database = Database::create().await;
    for bank in Bank::both(&database).await {
        let running = bank.start("bank").await;
        bank.app.dispatch(open(1, "Alice", "100.00")).await.unwrap();
        bank.app.dispatch(open(2, "Bob", "50.00")).await.unwrap();
        let transfer_id = TransferId::from(Uuid::from_u128(7));
        let (source_id, target_id, amount, at) = (account(1), account(2), eur("30.00"), noon());
        let start = StartTransfer { transfer_id, source_id, target_id, amount, at };
        bank.app.dispatch(start).await.unwrap();
        bank.ended(&running, transfer_id).await;
        let head = bank.app.store().head().await.unwrap();
        // A late answer has no effect.
        let late = MarkTransferAsCredited { transfer_id, at };
        assert!(bank.app.dispatch(late).await.unwrap().events.is_empty());
        running.stop().await;
        // A process without any state handles every event again.
        let again = bank.start("again").await;
        bank.ended(&again, transfer_id).await;
        assert_eq!(bank.app.store().head().await.unwrap(), head);
        // A deposit for a transfer that has ended is stored and has no further effect.
        let mut paid = deposit(2, "1.00");
        paid.transfer_id = Some(transfer_id);
        let position = bank.app.dispatch(paid).await.unwrap().position;
        bank.handled(&again, MoneyTransfer::NAME).await;
        bank.ended(&again, transfer_id).await;
        assert_eq!(bank.app.store().head().await.unwrap(), position);
        assert_eq!((bank.balance(1).await, bank.balance(2).await), (eur("70.00"), eur("81.00")));
        again.stop().await;
    }
}

#[tokio::test]
async fn each_day_is_closed_once_and_missed_days_are_closed_later() {
    let database = Database::create().await;
    for bank in Bank::both(&database).await {
        let closed = async |days: usize| {
            eventually(WITHIN, || async {
                let log = bank.log::<DayEvent>().await;
                let DayEvent::DayClosed { .. } = match log.last() {
                    Some(last) if log.len() == days => &last.event,
                    _ => return Err(format!("{log:?}")),
                };
                Ok(log.into_iter().map(|day| match day.event {
                    DayEvent::DayClosed { day, .. } => day.to_string(),
                }))
            })
            .await
            .collect::<Vec<_>>()
        };
        let (one, other) = (bank.start("bank").await, bank.start("bank").await);
        bank.clock.advance(Day::LENGTH);
        assert_eq!(closed(1).await, ["2026-03-01"]);
        one.stop().await;
        other.stop().await;
        // No bank is running for three days.
        bank.clock.advance(Day::LENGTH * 3);
        let later = bank.start("bank").await;
        let days = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"];
        assert_eq!(closed(4).await, days);
        assert!(bank.clock.now() > noon());
        later.stop().await;
    }
}

#[tokio::test]
async fn an_account_closes_when_empty_and_amounts_are_exact() {
    let database = Database::create().await;
    for bank in Bank::both(&database).await {
        bank.app.dispatch(open(1, "Alice", "10.00")).await.unwrap();
        let left = bank.app.dispatch(close(1)).await.unwrap_err();
        assert_eq!(left.rejected(), Some(&AccountError::BalanceLeft { balance: eur("10.00") }));
        bank.app.dispatch(withdraw(1, "10.00")).await.unwrap();
        bank.app.dispatch(deposit(1, "0.10")).await.unwrap();
        bank.app.dispatch(deposit(1, "0.20")).await.unwrap();
        assert_eq!(bank.balance(1).await, eur("0.30"));
        bank.app.dispatch(withdraw(1, "0.30")).await.unwrap();
        bank.app.dispatch(close(1)).await.unwrap();
        let closed = bank.app.dispatch(deposit(1, "1.00")).await.unwrap_err();
        assert_eq!(closed.rejected(), Some(&AccountError::AccountClosed));
    }
}

#[tokio::test]
async fn seeding_twice_has_the_effect_of_seeding_once() {
    let database = Database::create().await;
    for bank in Bank::both(&database).await {
        for round in 0..2 {
            let outcomes = bank::seed::seed(&bank.app).await.unwrap();
            assert!(outcomes.iter().all(|outcome| outcome.repeated == (round == 1)));
            assert_eq!(bank.app.store().head().await.unwrap().get(), 4);
        }
        for (name, balance) in [("alice", "100.00"), ("bob", "50.00")] {
            let found = bank.app.load::<Account>(&bank::seed::named(name)).await.unwrap();
            assert_eq!(found.state().balance().unwrap(), eur(balance));
        }
    }
}

#[tokio::test]
async fn an_account_with_snapshots_decides_like_one_without() {
    let database = Database::create().await;
    let options = database.options();
    let store = cqrs_postgres::PgStore::builder().options(options).migrate().await.unwrap();
    let memory = cqrs::memory::MemoryStore::new();
    let policy = SnapshotPolicy::every(100);
    let with = |postgres: bool| {
        let snapshots = match postgres {
            true => Persistence::events_with_snapshots(store.clone(), policy.clone()),
            false => Persistence::events_with_snapshots(memory.clone(), policy.clone()),
        };
        let builder =
            if postgres { App::builder(store.clone()) } else { App::builder(memory.clone()) };
        builder.aggregate::<Account>(snapshots).build().unwrap()
    };
    for postgres in [false, true] {
        let app = with(postgres);
        app.dispatch(open(1, "Alice", "0.00")).await.unwrap();
        for _ in 0..500 {
            app.dispatch(deposit(1, "1.00")).await.unwrap();
        }
        // The cache is empty, as after a restart.
        let app = with(postgres);
        let outcome = app.dispatch(withdraw(1, "1.00")).await.unwrap();
        assert_eq!(outcome.version.get(), 502);
        let found = app.load::<Account>(&account(1)).await.unwrap();
        assert_eq!(found.state().balance().unwrap(), eur("499.00"));
    }
}
