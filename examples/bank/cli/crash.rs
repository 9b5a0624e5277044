//! The crash test: a client repeats every operation of a story until it is answered, while the bank
//! crashes: in memory at every step of its stores, on Postgres by being killed at random moments.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cqrs::{
    App, EventHandler, EventStoreExt, Recorded, Timestamp,
    app::{DispatchError, SystemClock},
    event::Uuid,
    process::InstanceStatus,
    projection::Waited,
    store::Read,
};
use cqrs_memory::{MemoryReadStore, MemoryStore};
use cqrs_testing::{CrashPoint, ManualClock, crash_at_every_step, kill_at_many_moments};
use example_shared::{OpenReadStore, StoreArguments};

use super::operation::{Operation, parse};
use super::runtime::block_on;
use crate::domain::account::{CloseAccount, DepositMoney, OpenAccount, WithdrawMoney};
use crate::domain::transfer::StartTransfer;
use crate::domain::{AccountError, AccountEvent, Money, TransferId};
use crate::process::{FlagLargeWithdrawals, ProcessSide};

/// How often the program is killed on Postgres.
const KILLS: u32 = 10;
/// The lease of a bank under test: short, because banks crash often here.
const LEASE: Duration = Duration::from_millis(300);
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// A client with the commands of a story, in order, each with its time.
struct Client {
    operations: Vec<(Operation, Timestamp)>,
}

/// The number of operations that were answered. It belongs to the client and survives the bank.
enum Progress {
    Memory(AtomicUsize),
    File(PathBuf),
}

impl Progress {
    fn answered(&self) -> usize {
        match self {
            Self::Memory(answered) => answered.load(Ordering::Acquire),
            Self::File(path) => {
                std::fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
            }
        }
    }

    fn record(&self, answered: usize) -> std::io::Result<()> {
        match self {
            Self::Memory(number) => number.store(answered, Ordering::Release),
            // A rename is atomic, so a kill leaves either the old number or the new one.
            Self::File(path) => {
                let next = path.with_extension("next");
                std::fs::write(&next, answered.to_string())?;
                std::fs::rename(next, path)?;
            }
        }
        Ok(())
    }
}

impl Client {
    /// Takes the commands of a story. Queries and invalid lines are left out.
    fn new(story: &str) -> Self {
        let (mut at, mut operations) = (Timestamp::UNIX_EPOCH, Vec::new());
        for operation in story.lines().filter_map(|line| parse(line).ok().flatten()) {
            match operation {
                Operation::Time { moment } => at = moment,
                Operation::Open { .. }
                | Operation::Deposit { .. }
                | Operation::Withdraw { .. }
                | Operation::Close { .. }
                | Operation::Transfer { .. } => operations.push((operation, at)),
                _ => {}
            }
        }
        Self { operations }
    }

    /// Continues after the last answered operation, until all are answered and the bank has finished
    /// everything that they caused.
    async fn run(&self, app: &App, bank: &ProcessSide, progress: &Progress) {
        for (nth, (operation, at)) in self.operations.iter().enumerate().skip(progress.answered()) {
            while !try_operation(app, bank, nth, operation, *at).await {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            if progress.record(nth + 1).is_err() {
                return;
            }
        }
        while !has_caught_up(app, bank, FlagLargeWithdrawals::NAME).await {
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

/// Sends an operation under an id derived from its number. Returns `true` if the bank has answered.
async fn try_operation(
    app: &App,
    bank: &ProcessSide,
    nth: usize,
    operation: &Operation,
    at: Timestamp,
) -> bool {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("order {nth}").as_bytes());
    match operation.clone() {
        Operation::Open { account, owner, amount: initial_balance } => {
            let open = OpenAccount { account_id: account.id, owner, initial_balance, at };
            is_answered(&app.dispatch(open).command_id(id).await)
        }
        Operation::Deposit { account, amount } => {
            let (account_id, transfer_id, refund) = (account.id, None, false);
            let deposit = DepositMoney { account_id, amount, transfer_id, refund, at };
            is_answered(&app.dispatch(deposit).command_id(id).await)
        }
        Operation::Withdraw { account, amount } => {
            let (account_id, transfer_id) = (account.id, None);
            let withdraw = WithdrawMoney { account_id, amount, transfer_id, at };
            is_answered(&app.dispatch(withdraw).command_id(id).await)
        }
        Operation::Close { account } => is_answered(
            &app.dispatch(CloseAccount { account_id: account.id, at }).command_id(id).await,
        ),
        Operation::Transfer { from, to, amount } => {
            let transfer_id = TransferId::from(id);
            let (source_id, target_id) = (from.id, to.id);
            let start = StartTransfer { transfer_id, source_id, target_id, amount, at };
            match app.dispatch(start).command_id(id).await {
                Err(DispatchError::Rejected(_)) => true,
                Ok(_) => has_ended(bank, transfer_id).await,
                Err(_) => false,
            }
        }
        _ => true,
    }
}

fn is_answered<T>(answer: &Result<T, DispatchError<AccountError>>) -> bool {
    matches!(answer, Ok(_) | Err(DispatchError::Rejected(_)))
}

async fn has_ended(bank: &ProcessSide, transfer: TransferId) -> bool {
    matches!(
        bank.transfer(transfer).await,
        Ok(Some(found)) if found.status == InstanceStatus::Ended && !found.is_busy()
    )
}

async fn has_caught_up(app: &App, bank: &ProcessSide, handler: &str) -> bool {
    let Ok(head) = app.store().head().await else { return false };
    let waited = bank.processes().wait_for(handler, head, RETRY_INTERVAL).await;
    matches!(waited, Ok(Waited::CaughtUp))
}

/// Returns what happened in each stream, one stream per line.
///
/// # Errors
/// If the log cannot be read, an account was overdrawn, or money was created or lost.
async fn result(app: &App) -> Result<String, String> {
    let described = |error: &dyn Error| error.to_string();
    let log = app.store().read(Read::all()).await.map_err(|error| described(&error))?;
    let mut streams = BTreeMap::<String, String>::new();
    let (mut balances, mut paid_in) = (BTreeMap::new(), 0);
    for event in log.collect().await.map_err(|error| described(&error))? {
        let line = streams.entry(event.stream.to_string()).or_default();
        let _ = write!(line, " {}", event.event.name);
        if event.stream.category() != "account" {
            continue;
        }
        let event: Recorded<AccountEvent> =
            event.into_decoded().map_err(|error| described(&error))?;
        let (change, balance, is_transfer) = match event.event {
            AccountEvent::AccountOpened { initial_balance, .. } => {
                (initial_balance.to_cents(), initial_balance, false)
            }
            AccountEvent::MoneyDeposited { amount, new_balance, transfer_id, .. } => {
                (amount.to_cents(), new_balance, transfer_id.is_some())
            }
            AccountEvent::MoneyWithdrawn { amount, new_balance, transfer_id, .. } => {
                (-amount.to_cents(), new_balance, transfer_id.is_some())
            }
            AccountEvent::AccountClosed { .. } => (0, Money::ZERO, false),
        };
        if balance < Money::ZERO {
            return Err(format!("{} was overdrawn: {balance}", event.stream));
        }
        paid_in += if is_transfer { 0 } else { change };
        let _ = write!(line, " {balance}");
        balances.insert(event.stream.to_string(), balance.to_cents());
    }
    let total: i64 = balances.values().sum();
    if total != paid_in {
        return Err(format!("{paid_in} cents were paid in, but the accounts hold {total}"));
    }
    Ok(streams.iter().map(|(stream, line)| format!("{stream}:{line}\n")).collect())
}

/// What survives a crash in the test in memory.
struct Durable {
    store: MemoryStore,
    processes: MemoryReadStore,
    clock: ManualClock,
    progress: Progress,
}

impl Durable {
    fn new(point: &CrashPoint) -> Self {
        let noon = Timestamp::UNIX_EPOCH.plus(Duration::from_secs(12 * 60 * 60));
        let clock = ManualClock::at(noon);
        let (in_store, in_processes) = (point.clone(), point.clone());
        let store = MemoryStore::builder().clock(clock.clone());
        let processes = MemoryReadStore::builder().clock(clock.clone());
        Self {
            store: store.on_step(move |step| in_store.step(step)).build(),
            processes: processes.on_step(move |step| in_processes.step(step)).build(),
            clock,
            progress: Progress::Memory(AtomicUsize::new(0)),
        }
    }

    async fn run(&self, client: &Client) -> App {
        let app = App::new(self.store.clone());
        let processes = || OpenReadStore::Memory(self.processes.clone());
        let bank = loop {
            match ProcessSide::start(&app, self.clock.clone(), LEASE, processes()).await {
                Ok(bank) => break bank,
                Err(_) => tokio::time::sleep(RETRY_INTERVAL).await,
            }
        };
        client.run(&app, &bank, &self.progress).await;
        bank.stop().await;
        app
    }
}

/// Runs the story in memory, with a crash before and after every step of the stores.
fn in_memory(story: &str) -> String {
    let client = Client::new(story);
    let survived = crash_at_every_step(
        Durable::new,
        async |durable| {
            durable.run(&client).await;
        },
        async |durable| {
            // Lets the leases of the crashed bank expire.
            durable.clock.advance(LEASE * 2);
            let app = durable.run(&client).await;
            result(&app).await.unwrap_or_else(|error| panic!("{error}"))
        },
    );
    format!(
        "{} crashes survived, before and after each of {} steps: no money was lost, and the result \
         was always the same",
        survived.crashes, survived.steps
    )
}

/// Runs the story on Postgres in a process that is killed and restarted.
fn on_postgres(story: &str, store: &StoreArguments) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = std::env::temp_dir().join(format!("bank-crash-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let script = folder.join("story.txt");
    std::fs::write(&script, story).map_err(|error| error.to_string())?;
    let runs = AtomicUsize::new(0);
    let unique = Uuid::now_v7().simple().to_string();
    let killed = kill_at_many_moments(
        KILLS,
        || {
            let run = runs.fetch_add(1, Ordering::AcqRel);
            let schema = format!("cr_{}_{run}", &unique[24..]);
            (schema, folder.join(format!("progress-{run}")))
        },
        |(schema, progress)| {
            let mut run = Command::new(&program);
            run.arg(&script).args(["--store", &store.store, "--schema", schema]);
            run.arg("--progress").arg(progress);
            run
        },
        |(schema, _)| {
            let store = StoreArguments { schema: Some(schema.clone()), ..store.clone() };
            let result = block_on(async {
                let store = store.open("bank", SystemClock).await?;
                result(&App::new(store)).await
            });
            result.and_then(|result| result).unwrap_or_else(|error| panic!("{error}"))
        },
    );
    // After a panic above, everything is kept for inspection.
    let _ = std::fs::remove_dir_all(&folder);
    block_on(drop_schemas(store, &format!("cr_{}_", &unique[24..])))??;
    Ok(format!(
        "{} kills survived, in runs of {:?}: no money was lost, and the result was always the same",
        killed.kills, killed.took
    ))
}

/// Drops the schemas of a test.
async fn drop_schemas(store: &StoreArguments, prefix: &str) -> Result<(), String> {
    let store = StoreArguments { schema: Some(format!("{prefix}0")), ..store.clone() };
    let OpenReadStore::Postgres(database) = store.open_processes("bank").await? else {
        return Ok(());
    };
    let described = |error: sqlx::Error| error.to_string();
    let all = "select nspname::text from pg_namespace where starts_with(nspname, $1)";
    let all = sqlx::query_scalar::<_, String>(all).bind(prefix).fetch_all(database.pool()).await;
    for schema in all.map_err(described)? {
        let drop = format!("drop schema \"{schema}\" cascade");
        let drop = sqlx::query(sqlx::AssertSqlSafe(drop));
        drop.execute(database.pool()).await.map_err(described)?;
    }
    Ok(())
}

/// Runs one process of a test on Postgres, which continues after the recorded progress.
///
/// # Errors
/// If the stores cannot be opened or the bank does not start.
pub(super) async fn resume(
    story: &str,
    store: &StoreArguments,
    progress: &Path,
) -> Result<(), String> {
    let app = App::new(store.open("bank", SystemClock).await?);
    let processes = store.open_processes("bank").await?;
    let bank = ProcessSide::start(&app, SystemClock, LEASE, processes).await;
    let bank = bank.map_err(|error| error.to_string())?;
    Client::new(story).run(&app, &bank, &Progress::File(progress.to_owned())).await;
    bank.stop().await;
    Ok(())
}

/// Runs a crash test and prints how many crashes the story survived.
///
/// # Errors
/// If the database cannot be used.
///
/// # Panics
/// If a crash changes the result; the message says which.
pub(super) fn test(story: &str, store: &StoreArguments) -> Result<(), String> {
    let report = match store.store.as_str() {
        "memory" => in_memory(story),
        _ => on_postgres(story, store)?,
    };
    println!("{report}");
    Ok(())
}
