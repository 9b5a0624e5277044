//! Money on its way: the whole process, undisturbed, refused, too slow, and killed at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank::domain::transfer::StartTransfer;
use bank::domain::{
    Account, AccountCommand, AccountEvent, FailureReason, Money, TransferEvent, TransferId,
};
use bank::process::MoneyTransfer;
use bank::read::BankEvent;
use cluster::{Chance, Database};
use cqrs::{
    App, EventStore, EventStoreExt, Processes, Recorded,
    app::{CommandContext, Denial, Flow, Middleware},
    event::Uuid,
    process::{Instance, InstanceQuery, InstanceStatus, ProcessOptions, ProcessStore},
    projection::StartError,
    store::Read,
};
use cqrs_memory::{MemoryReadStore, MemoryStore};
use cqrs_postgres::{PgReadStore, PgStore};
use cqrs_testing::{CrashPoint, ManualClock, eventually};
use sqlx::postgres::PgConnectOptions;

use crate::{account, close, deposit, eur, noon, open};

const WITHIN: Duration = Duration::from_secs(60);
const NAME: &str = "money_transfer";

fn id(n: u128) -> TransferId {
    Uuid::from_u128(0x7000 + n).into()
}

fn transfer(n: u128, from: u128, to: u128, amount: &str) -> StartTransfer {
    let (source_id, target_id) = (account(from), account(to));
    StartTransfer { transfer_id: id(n), source_id, target_id, amount: eur(amount), at: noon() }
}

/// Swallows deposits to Bob while it is open, and denies refunds while it is told to.
#[derive(Clone, Debug, Default)]
struct Hole(Arc<AtomicBool>, Arc<AtomicBool>);

impl Hole {
    fn set(&self, open: bool) {
        self.0.store(open, Ordering::Release);
    }
}

impl Middleware for Hole {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        if let Some(AccountCommand::Deposit(deposit)) = context.command::<Account>()
            && deposit.refund
            && self.1.load(Ordering::Acquire)
        {
            return Err(Denial::new("no refunds today"));
        }
        let to_bob = match context.command::<Account>() {
            Some(AccountCommand::Deposit(deposit)) => deposit.account_id == account(2),
            _ => false,
        };
        if to_bob && self.0.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        Ok(Flow::Continue)
    }
}

struct Bank<S> {
    app: App,
    kept: S,
    clock: ManualClock,
    hole: Hole,
}

impl<S: ProcessStore> Bank<S> {
    fn over(store: impl EventStore, kept: S, clock: ManualClock) -> Self {
        let hole = Hole::default();
        let app = App::builder(store).middleware(hole.clone()).build().unwrap();
        Self { app, kept, clock, hole }
    }

    async fn founded(self) -> Self {
        self.app.dispatch(open(1, "Alice", "100.00")).await.unwrap();
        self.app.dispatch(open(2, "Bob", "50.00")).await.unwrap();
        self
    }

    async fn start(&self) -> Processes {
        self.try_start().await.unwrap()
    }

    async fn try_start(&self) -> Result<Processes, StartError> {
        let pauses = Duration::from_millis(2);
        let options = ProcessOptions::new()
            .pauses(pauses, pauses * 10)
            .deadline(Duration::from_millis(200))
            .retries(10_000);
        Processes::builder(&self.app, self.kept.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(100))
            .poll_interval(Duration::from_millis(10))
            .process_with(MoneyTransfer, options)
            .start()
            .await
    }

    async fn balance(&self, n: u128) -> Money {
        match self.app.load::<Account>(&account(n)).await.unwrap().state() {
            Account::Open { balance } => *balance,
            _ => Money::ZERO,
        }
    }

    async fn events(&self) -> Vec<Recorded<BankEvent>> {
        self.app.store().read_as(Read::all()).await.unwrap().collect().await.unwrap()
    }

    /// What the log says of a transfer, in short.
    async fn story(&self, n: u128) -> Vec<&'static str> {
        let id = id(n);
        let events = self.events().await;
        let mine = events.iter().filter_map(|event| match &event.event {
            BankEvent::Transfer(event) => match event {
                TransferEvent::TransferStarted { transfer_id, .. } if *transfer_id == id => {
                    Some("started")
                }
                TransferEvent::TransferDebited { transfer_id, .. } if *transfer_id == id => {
                    Some("debited")
                }
                TransferEvent::TransferCredited { transfer_id, .. } if *transfer_id == id => {
                    Some("credited")
                }
                TransferEvent::TransferFailed { transfer_id, .. } if *transfer_id == id => {
                    Some("failed")
                }
                _ => None,
            },
            BankEvent::Account(event) => match event {
                AccountEvent::MoneyWithdrawn { transfer_id, .. } if *transfer_id == Some(id) => {
                    Some("withdrawn")
                }
                AccountEvent::MoneyDeposited { transfer_id, refund, .. }
                    if *transfer_id == Some(id) =>
                {
                    Some(if *refund { "refunded" } else { "deposited" })
                }
                _ => None,
            },
        });
        mine.collect()
    }

    /// L36: one conversation, each event but the first caused by an earlier one of it.
    async fn one_root(&self, correlation: Uuid, count: usize) {
        let mut ours = self.events().await;
        ours.retain(|event| event.metadata.correlation_id == Some(correlation.into()));
        assert_eq!(ours.len(), count);
        for (nth, event) in ours.iter().enumerate().skip(1) {
            let cause = event.metadata.causation_id.unwrap().as_uuid();
            let is_known = ours.iter().take(nth).any(|earlier| earlier.id.as_uuid() == cause);
            assert!(is_known, "{event:?}");
        }
    }

    async fn failure(&self, n: u128) -> Option<FailureReason> {
        self.events().await.into_iter().find_map(|event| match event.event {
            BankEvent::Transfer(TransferEvent::TransferFailed { transfer_id, reason, .. })
                if transfer_id == id(n) =>
            {
                Some(reason)
            }
            _ => None,
        })
    }
}

async fn instance(running: &Processes, n: u128) -> Option<Instance> {
    let query = InstanceQuery::page().id(id(n));
    running.instances(NAME, &query).await.unwrap().pop()
}

/// Waits until an instance is over, or waits for people.
async fn settled(running: &Processes, n: u128) -> Instance {
    eventually(WITHIN, || async {
        match instance(running, n).await {
            Some(found) if found.status != InstanceStatus::Running && !found.is_busy() => Ok(found),
            found => Err(format!("{found:#?}")),
        }
    })
    .await
}

async fn postgres() -> Bank<PgReadStore> {
    connected(&prepared().await).await.founded().await
}

/// A database with everything that a bank needs.
async fn prepared() -> PgConnectOptions {
    let options = Database::create().await.keep();
    PgStore::builder().options(options.clone()).migrate().await.unwrap();
    PgReadStore::for_processes().options(options.clone()).migrate().await.unwrap();
    options
}

/// As another process of the same bank.
async fn connected(options: &PgConnectOptions) -> Bank<PgReadStore> {
    let clock = ManualClock::at(noon());
    let store = PgStore::builder().options(options.clone()).clock(clock.clone()).connect().await;
    let kept = PgReadStore::for_processes().options(options.clone()).connect().await.unwrap();
    Bank::over(store.unwrap(), kept, clock)
}

async fn memory() -> Bank<MemoryReadStore> {
    let clock = ManualClock::at(noon());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Bank::over(store, MemoryReadStore::new(), clock).founded().await
}

async fn a_transfer_moves_money_and_records_every_step<S: ProcessStore>(bank: Bank<S>) {
    let running = bank.start().await;
    let correlation = Uuid::from_u128(0xC0);
    bank.app.dispatch(transfer(1, 1, 2, "30.00")).correlation_id(correlation).await.unwrap();
    let ended = settled(&running, 1).await;
    assert_eq!(ended.status, InstanceStatus::Ended);
    let told = ["started", "withdrawn", "debited", "deposited", "credited"];
    assert_eq!(bank.story(1).await, told);
    assert_eq!((bank.balance(1).await, bank.balance(2).await), (eur("70.00"), eur("80.00")));
    bank.one_root(correlation, 5).await;
}

async fn a_rejected_debit_fails_the_transfer<S: ProcessStore>(bank: Bank<S>) {
    let running = bank.start().await;
    bank.app.dispatch(transfer(1, 1, 2, "100.01")).await.unwrap();
    bank.app.dispatch(transfer(2, 9, 2, "10.00")).await.unwrap();
    for n in [1, 2] {
        assert_eq!(settled(&running, n).await.status, InstanceStatus::Ended);
        assert_eq!(bank.story(n).await, ["started", "failed"]);
    }
    assert_eq!(bank.failure(1).await, Some(FailureReason::InsufficientFunds));
    assert_eq!(bank.failure(2).await, Some(FailureReason::SourceNotFound));
    assert_eq!((bank.balance(1).await, bank.balance(2).await), (eur("100.00"), eur("50.00")));
}

async fn a_rejected_credit_is_refunded<S: ProcessStore>(bank: Bank<S>) {
    let running = bank.start().await;
    let correlation = Uuid::from_u128(0xC1);
    bank.app.dispatch(transfer(1, 1, 9, "30.00")).correlation_id(correlation).await.unwrap();
    assert_eq!(settled(&running, 1).await.status, InstanceStatus::Ended);
    bank.one_root(correlation, 5).await;
    assert_eq!(bank.story(1).await, ["started", "withdrawn", "debited", "refunded", "failed"]);
    assert_eq!(bank.failure(1).await, Some(FailureReason::TargetNotFound));
    assert_eq!(bank.balance(1).await, eur("100.00"));
}

async fn a_plain_deposit_starts_no_process<S: ProcessStore>(bank: Bank<S>) {
    let running = bank.start().await;
    let position = bank.app.dispatch(deposit(1, "5.00")).await.unwrap().position;
    running.wait_until_started(NAME, WITHIN).await.unwrap();
    running.wait_for(NAME, position, WITHIN).await.unwrap();
    assert!(running.instances(NAME, &InstanceQuery::page()).await.unwrap().is_empty());
}

async fn a_credit_that_times_out_is_revoked_and_refunded_once<S: ProcessStore>(bank: Bank<S>) {
    bank.hole.set(true);
    let running = bank.start().await;
    bank.app.dispatch(transfer(1, 1, 2, "30.00")).await.unwrap();
    eventually(WITHIN, || async {
        let story = bank.story(1).await;
        if story.contains(&"debited") { Ok(()) } else { Err(format!("{story:?}")) }
    })
    .await;
    bank.clock.advance(Duration::from_secs(29));
    bank.clock.advance(Duration::from_secs(2));
    assert_eq!(settled(&running, 1).await.status, InstanceStatus::Ended);
    assert_eq!(bank.failure(1).await, Some(FailureReason::TimedOut));
    assert_eq!(bank.story(1).await, ["started", "withdrawn", "debited", "refunded", "failed"]);
    assert_eq!((bank.balance(1).await, bank.balance(2).await), (eur("100.00"), eur("50.00")));
}

async fn a_rejected_refund_suspends_the_transfer_and_can_be_retried<S: ProcessStore>(
    bank: Bank<S>,
) {
    bank.app.dispatch(open(3, "Carol", "30.00")).await.unwrap();
    bank.hole.set(true);
    let running = bank.start().await;
    // All that Carol has is on its way; she closes her account meanwhile.
    bank.app.dispatch(transfer(1, 3, 2, "30.00")).await.unwrap();
    eventually(WITHIN, || async {
        let story = bank.story(1).await;
        if story.contains(&"debited") { Ok(()) } else { Err(format!("{story:?}")) }
    })
    .await;
    bank.app.dispatch(close(3)).await.unwrap();
    bank.clock.advance(Duration::from_secs(31));
    let stuck = settled_attention(&running, 1).await;
    assert!(stuck.contains("refund rejected: the account is closed"), "{stuck}");
    let listed = running.instances(NAME, &InstanceQuery::page().suspended()).await.unwrap();
    assert_eq!(listed.len(), 1);
    // Others go on.
    bank.hole.set(false);
    bank.app.dispatch(transfer(2, 1, 2, "1.00")).await.unwrap();
    assert_eq!(settled(&running, 2).await.status, InstanceStatus::Ended);
    // Tried again while nothing is mended: it waits again.
    assert!(running.retry(NAME, &id(1).to_string()).await.unwrap());
    assert!(!running.retry(NAME, "nobody").await.unwrap());
    eventually(WITHIN, || async {
        let found = instance(&running, 1).await.unwrap();
        if found.is_suspended() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    running.end(NAME, &id(1).to_string()).await.unwrap();
    eventually(WITHIN, || async {
        let found = instance(&running, 1).await.unwrap();
        if found.status == InstanceStatus::Ended { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

async fn a_denied_refund_is_paid_after_an_operator_retries_it<S: ProcessStore>(bank: Bank<S>) {
    bank.hole.1.store(true, Ordering::Release);
    let running = bank.start().await;
    bank.app.dispatch(transfer(1, 1, 9, "30.00")).await.unwrap();
    assert!(settled_attention(&running, 1).await.contains("no refunds today"));
    assert_eq!(bank.balance(1).await, eur("70.00"));
    bank.hole.1.store(false, Ordering::Release);
    assert!(running.retry(NAME, &id(1).to_string()).await.unwrap());
    eventually(WITHIN, || async {
        let found = instance(&running, 1).await.unwrap();
        if found.status == InstanceStatus::Ended { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert_eq!(bank.balance(1).await, eur("100.00"));
    assert_eq!(bank.failure(1).await, Some(FailureReason::TargetNotFound));
}

async fn settled_attention(running: &Processes, n: u128) -> String {
    eventually(WITHIN, || async {
        match instance(running, n).await.map(|found| found.status) {
            Some(InstanceStatus::Suspended { reason }) => Ok(reason),
            found => Err(format!("{found:#?}")),
        }
    })
    .await
}

macro_rules! on_both {
    ($($case:ident)*) => {
        mod in_memory {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(super::memory().await).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(super::postgres().await).await;
                }
            )*
        }
    };
}
on_both! {
    a_transfer_moves_money_and_records_every_step
    a_rejected_debit_fails_the_transfer
    a_rejected_credit_is_refunded
    a_plain_deposit_starts_no_process
    a_credit_that_times_out_is_revoked_and_refunded_once
    a_denied_refund_is_paid_after_an_operator_retries_it
    a_rejected_refund_suspends_the_transfer_and_can_be_retried
}

/// Kills whoever runs the process again and again, while 8 tasks start 200 transfers among 5
/// accounts.
#[test]
fn no_money_is_lost_when_banks_are_killed() {
    let (store, kept) = (MemoryStore::new(), MemoryReadStore::new());
    killed_again_and_again(async || {
        Bank::over(store.clone(), kept.clone(), ManualClock::at(noon()))
    });
}

#[test]
fn no_money_is_lost_when_banks_are_killed_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = runtime.block_on(prepared());
    killed_again_and_again(async || connected(&options).await);
}

fn killed_again_and_again<S: ProcessStore>(open_bank: impl AsyncFn() -> Bank<S>) {
    let seed = std::env::var("CQRS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| Uuid::now_v7().as_u64_pair().1);
    println!("seed {seed}; repeat with CQRS_SEED={seed}");
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let world = runtime().unwrap();
    let bank = Arc::new(world.block_on(async { open_bank().await.founded().await }));
    let tasks: Vec<_> = world.block_on(async {
        for n in 3..=5 {
            bank.app.dispatch(open(n, "Somebody", "50.00")).await.unwrap();
        }
        (0..8_u64)
            .map(|task| {
                let (bank, mut chance) = (Arc::clone(&bank), Chance::new(seed ^ task));
                tokio::spawn(async move {
                    for n in 0..25 {
                        let from = 1 + chance.below(6);
                        // Some go to an account that does not exist.
                        let to = 1 + (from + chance.below(5)) % 6;
                        let cents = Money::cents(i64::try_from(1 + chance.below(6_000)).unwrap());
                        let start = StartTransfer {
                            amount: cents,
                            ..transfer(u128::from(task * 100 + n), from.into(), to.into(), "1.00")
                        };
                        let _ = bank.app.dispatch(start).await;
                        tokio::time::sleep(Duration::from_millis(chance.below(40))).await;
                    }
                })
            })
            .collect()
    });
    let mut chance = Chance::new(seed);
    let mut kills = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        let node = runtime().unwrap();
        let running = node.block_on(async { open_bank().await.start().await });
        std::thread::sleep(Duration::from_millis(5 + chance.below(80)));
        // Everything it is at is dropped where it stands.
        node.shutdown_background();
        drop(running);
        kills += 1;
    }
    world.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        let running = bank.start().await;
        running.wait_until_started(NAME, WITHIN).await.unwrap();
        eventually(WITHIN, || async {
            let events = bank.events().await;
            let (mut started, mut over) = (0, 0);
            for event in &events {
                match event.event {
                    BankEvent::Transfer(TransferEvent::TransferStarted { .. }) => started += 1,
                    BankEvent::Transfer(
                        TransferEvent::TransferCredited { .. }
                        | TransferEvent::TransferFailed { .. },
                    ) => over += 1,
                    _ => {}
                }
            }
            if started == over { Ok(()) } else { Err(format!("{over} of {started} are over")) }
        })
        .await;
        let mut sum = 0;
        for n in 1..=5 {
            sum += bank.balance(n).await.to_cents();
        }
        assert_eq!(sum, 30_000, "after {kills} kills, seed {seed}");
        for event in bank.events().await {
            if let BankEvent::Account(
                AccountEvent::MoneyDeposited { new_balance, .. }
                | AccountEvent::MoneyWithdrawn { new_balance, .. },
            ) = event.event
            {
                assert!(new_balance >= Money::ZERO);
            }
        }
        println!("{kills} kills");
        running.stop().await;
    });
}

/// Every kind of transfer, killed at each step of both stores, on either side of it.
#[test]
fn a_crash_at_any_step_does_not_change_the_result() {
    let world = |point: &CrashPoint| {
        let clock = ManualClock::at(noon());
        let (ours, theirs) = (point.clone(), point.clone());
        let store =
            MemoryStore::builder().clock(clock.clone()).on_step(move |step| ours.step(step));
        let kept =
            MemoryReadStore::builder().clock(clock.clone()).on_step(move |step| theirs.step(step));
        Bank::over(store.build(), kept.build(), clock)
    };
    let transfers =
        [(1, 1, 2, "30.00"), (2, 1, 9, "20.00"), (3, 9, 2, "10.00"), (4, 1, 2, "900.00")];
    let start = async |bank: &Bank<MemoryReadStore>| {
        for (n, from, to, amount) in transfers {
            let start = transfer(n, from, to, amount);
            let id = Uuid::from_u128(0xF000 + n);
            // As a client who asks again until there is an answer.
            while bank.app.dispatch(start.clone()).command_id(id).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let found = async |bank: &Bank<MemoryReadStore>| {
        for (n, owner, balance) in [(1, "Alice", "100.00"), (2, "Bob", "50.00")] {
            let id = Uuid::from_u128(0xE000 + n);
            while bank.app.dispatch(open(n, owner, balance)).command_id(id).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let settle = async |bank: &Bank<MemoryReadStore>| {
        let running = loop {
            match bank.try_start().await {
                Ok(running) => break running,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        start(bank).await;
        for (n, ..) in transfers {
            eventually(WITHIN * 60, || async {
                let query = InstanceQuery::page().id(id(n));
                let found = running.instances(NAME, &query).await.unwrap_or_default();
                match found.first() {
                    Some(found) if found.status == InstanceStatus::Ended && !found.is_busy() => {
                        Ok(())
                    }
                    found => Err(format!("{found:#?}")),
                }
            })
            .await;
        }
        running
    };
    let survived = cqrs_testing::crash_at_every_step(
        world,
        async |bank| {
            found(bank).await;
            settle(bank).await.stop().await;
        },
        async |bank| {
            // Whoever died is missed by now.
            bank.clock.advance(Duration::from_secs(10));
            found(bank).await;
            settle(bank).await.stop().await;
            let balances = [bank.balance(1).await, bank.balance(2).await];
            assert_eq!(balances.map(Money::to_cents).iter().sum::<i64>(), 15_000);
            let mut end = format!("{balances:?}");
            for (n, ..) in transfers {
                end += &format!(" {:?} {:?}", bank.story(n).await, bank.failure(n).await);
            }
            end
        },
    );
    println!("{} steps, {} crashes survived: {}", survived.steps, survived.crashes, survived.end);
    assert!(survived.crashes * 10 > survived.steps * 9);
}
