//! The transfer process as a whole: without faults, with rejections, denials and timeouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank::domain::transfer::StartTransfer;
use bank::domain::{
    Account, AccountCommand, AccountEvent, FailureReason, Money, TransferEvent, TransferId,
};
use bank::process::MoneyTransfer;
use bank::read::BankEvent;
use cluster::Database;
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
use cqrs_testing::{ManualClock, eventually};
use sqlx::postgres::PgConnectOptions;

use crate::{account, close, deposit, eur, noon, open};

pub(crate) const WITHIN: Duration = Duration::from_secs(60);
pub(crate) const NAME: &str = "money_transfer";

pub(crate) fn id(n: u128) -> TransferId {
    Uuid::from_u128(0x7000 + n).into()
}

pub(crate) fn transfer(n: u128, from: u128, to: u128, amount: &str) -> StartTransfer {
    let (source_id, target_id) = (account(from), account(to));
    StartTransfer { transfer_id: id(n), source_id, target_id, amount: eur(amount), at: noon() }
}

/// Faults that a test can switch on.
#[derive(Clone, Debug, Default)]
struct Faults {
    /// Deposits to Bob never finish.
    block_bob: Arc<AtomicBool>,
    /// Refunds are denied.
    deny_refunds: Arc<AtomicBool>,
}

impl Faults {
    fn block_bob(&self, on: bool) {
        self.block_bob.store(on, Ordering::Release);
    }

    fn deny_refunds(&self, on: bool) {
        self.deny_refunds.store(on, Ordering::Release);
    }
}

impl Middleware for Faults {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        if let Some(AccountCommand::Deposit(deposit)) = context.command::<Account>()
            && deposit.refund
            && self.deny_refunds.load(Ordering::Acquire)
        {
            return Err(Denial::new("no refunds today"));
        }
        let to_bob = match context.command::<Account>() {
            Some(AccountCommand::Deposit(deposit)) => deposit.account_id == account(2),
            _ => false,
        };
        if to_bob && self.block_bob.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        Ok(Flow::Continue)
    }
}

pub(crate) struct Bank<S> {
    pub(crate) app: App,
    process_store: S,
    pub(crate) clock: ManualClock,
    faults: Faults,
}

impl<S: ProcessStore> Bank<S> {
    pub(crate) fn over(store: impl EventStore, process_store: S, clock: ManualClock) -> Self {
        let faults = Faults::default();
        let app = App::builder(store).middleware(faults.clone()).build().unwrap();
        Self { app, process_store, clock, faults }
    }

    pub(crate) async fn with_accounts(self) -> Self {
        self.app.dispatch(open(1, "Alice", "100.00")).await.unwrap();
        self.app.dispatch(open(2, "Bob", "50.00")).await.unwrap();
        self
    }

    pub(crate) async fn start(&self) -> Processes {
        self.try_start().await.unwrap()
    }

    pub(crate) async fn try_start(&self) -> Result<Processes, StartError> {
        let pauses = Duration::from_millis(2);
        let options = ProcessOptions::new()
            .pauses(pauses, pauses * 10)
            .deadline(Duration::from_millis(200))
            .retries(10_000);
        Processes::builder(&self.app, self.process_store.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(100))
            .poll_interval(Duration::from_millis(10))
            .process_with(MoneyTransfer, options)
            .start()
            .await
    }

    pub(crate) async fn balance(&self, n: u128) -> Money {
        match self.app.load::<Account>(&account(n)).await.unwrap().state() {
            Account::Open { balance } => *balance,
            _ => Money::ZERO,
        }
    }

    pub(crate) async fn events(&self) -> Vec<Recorded<BankEvent>> {
        self.app.store().read_as(Read::all()).await.unwrap().collect().await.unwrap()
    }

    /// Returns the steps of a transfer that are in the log.
    pub(crate) async fn story(&self, n: u128) -> Vec<&'static str> {
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

    /// Checks that all events of a conversation after the first were caused by an earlier one.
    async fn check_causes(&self, correlation: Uuid, count: usize) {
        let mut ours = self.events().await;
        ours.retain(|event| event.metadata.correlation_id == Some(correlation.into()));
        assert_eq!(ours.len(), count);
        for (nth, event) in ours.iter().enumerate().skip(1) {
            let cause = event.metadata.causation_id.unwrap().as_uuid();
            let is_known = ours.iter().take(nth).any(|earlier| earlier.id.as_uuid() == cause);
            assert!(is_known, "{event:?}");
        }
    }

    pub(crate) async fn failure(&self, n: u128) -> Option<FailureReason> {
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

/// Waits until an instance has ended or is suspended.
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
    connected(&prepared().await).await.with_accounts().await
}

/// Creates a database with all tables of a bank.
pub(crate) async fn prepared() -> PgConnectOptions {
    let options = Database::create().await.keep();
    PgStore::builder().options(options.clone()).migrate().await.unwrap();
    PgReadStore::for_processes().options(options.clone()).migrate().await.unwrap();
    options
}

/// Opens the same bank as another process would.
pub(crate) async fn connected(options: &PgConnectOptions) -> Bank<PgReadStore> {
    let clock = ManualClock::at(noon());
    let store = PgStore::builder().options(options.clone()).clock(clock.clone()).connect().await;
    let process_store =
        PgReadStore::for_processes().options(options.clone()).connect().await.unwrap();
    Bank::over(store.unwrap(), process_store, clock)
}

async fn memory() -> Bank<MemoryReadStore> {
    let clock = ManualClock::at(noon());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Bank::over(store, MemoryReadStore::new(), clock).with_accounts().await
}

async fn a_transfer_moves_money_and_records_every_step<S: ProcessStore>(bank: Bank<S>) {
    let running = bank.start().await;
    let correlation = Uuid::from_u128(0xC0);
    bank.app.dispatch(transfer(1, 1, 2, "30.00")).correlation_id(correlation).await.unwrap();
    let ended = settled(&running, 1).await;
    assert_eq!(ended.status, InstanceStatus::Ended);
    let expected = ["started", "withdrawn", "debited", "deposited", "credited"];
    assert_eq!(bank.story(1).await, expected);
    assert_eq!((bank.balance(1).await, bank.balance(2).await), (eur("70.00"), eur("80.00")));
    bank.check_causes(correlation, 5).await;
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
    bank.check_causes(correlation, 5).await;
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
    bank.faults.block_bob(true);
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
    bank.faults.block_bob(true);
    let running = bank.start().await;
    // Everything that Carol has was debited; she closes her account before the refund.
    bank.app.dispatch(transfer(1, 3, 2, "30.00")).await.unwrap();
    eventually(WITHIN, || async {
        let story = bank.story(1).await;
        if story.contains(&"debited") { Ok(()) } else { Err(format!("{story:?}")) }
    })
    .await;
    bank.app.dispatch(close(3)).await.unwrap();
    bank.clock.advance(Duration::from_secs(31));
    let stuck = suspended(&running, 1).await;
    assert!(stuck.contains("refund rejected: the account is closed"), "{stuck}");
    let listed = running.instances(NAME, &InstanceQuery::page().suspended()).await.unwrap();
    assert_eq!(listed.len(), 1);
    // Other instances continue.
    bank.faults.block_bob(false);
    bank.app.dispatch(transfer(2, 1, 2, "1.00")).await.unwrap();
    assert_eq!(settled(&running, 2).await.status, InstanceStatus::Ended);
    // A retry without a fix suspends it again.
    assert!(running.retry(NAME, &id(1).to_string()).await.unwrap());
    assert!(!running.retry(NAME, "unknown").await.unwrap());
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
    bank.faults.deny_refunds(true);
    let running = bank.start().await;
    bank.app.dispatch(transfer(1, 1, 9, "30.00")).await.unwrap();
    assert!(suspended(&running, 1).await.contains("no refunds today"));
    assert_eq!(bank.balance(1).await, eur("70.00"));
    bank.faults.deny_refunds(false);
    assert!(running.retry(NAME, &id(1).to_string()).await.unwrap());
    eventually(WITHIN, || async {
        let found = instance(&running, 1).await.unwrap();
        if found.status == InstanceStatus::Ended { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert_eq!(bank.balance(1).await, eur("100.00"));
    assert_eq!(bank.failure(1).await, Some(FailureReason::TargetNotFound));
}

async fn suspended(running: &Processes, n: u128) -> String {
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
