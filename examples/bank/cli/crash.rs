//! The story told by somebody who asks again until there is an answer, to a bank that dies at any
//! moment: in memory at each step of its stores, on Postgres by being killed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
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

use super::{Operation, parse};
use crate::domain::account::{CloseAccount, DepositMoney, OpenAccount, WithdrawMoney};
use crate::domain::transfer::StartTransfer;
use crate::domain::{AccountError, AccountEvent, Money, TransferId};
use crate::process::{FlagLargeWithdrawals, ProcessSide};

/// At how many moments the program is killed.
const MOMENTS: u32 = 10;
/// How long nobody misses a bank that died. Short, as they die often.
const LEASE: Duration = Duration::from_millis(300);
const AGAIN: Duration = Duration::from_millis(5);

/// The commands of a story, in order, each with its time.
struct Teller {
    orders: Vec<(Operation, Timestamp)>,
}

/// How many of them were answered. It is the teller's own and survives the bank.
enum Notebook {
    Memory(AtomicUsize),
    File(PathBuf),
}

impl Notebook {
    fn answered(&self) -> usize {
        match self {
            Self::Memory(answered) => answered.load(Ordering::Acquire),
            Self::File(path) => {
                std::fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
            }
        }
    }

    fn note(&self, answered: usize) -> std::io::Result<()> {
        match self {
            Self::Memory(number) => number.store(answered, Ordering::Release),
            // In one step, so that a kill leaves the old number or the new.
            Self::File(path) => {
                let next = path.with_extension("next");
                std::fs::write(&next, answered.to_string())?;
                std::fs::rename(next, path)?;
            }
        }
        Ok(())
    }
}

impl Teller {
    /// Lines that are not understood, and those that only look, are left out.
    fn of(story: &str) -> Self {
        let (mut at, mut orders) = (Timestamp::UNIX_EPOCH, Vec::new());
        for operation in story.lines().filter_map(|line| parse(line).ok().flatten()) {
            match operation {
                Operation::Time { moment } => at = moment,
                Operation::Open { .. }
                | Operation::Deposit { .. }
                | Operation::Withdraw { .. }
                | Operation::Close { .. }
                | Operation::Transfer { .. } => orders.push((operation, at)),
                _ => {}
            }
        }
        Self { orders }
    }

    /// Goes on behind what was answered, until everything is, and whatever follows from it.
    async fn go_on(&self, app: &App, bank: &ProcessSide, notebook: &Notebook) {
        for (nth, (operation, at)) in self.orders.iter().enumerate().skip(notebook.answered()) {
            while !order(app, bank, nth, operation, *at).await {
                tokio::time::sleep(AGAIN).await;
            }
            if notebook.note(nth + 1).is_err() {
                return;
            }
        }
        let flags = FlagLargeWithdrawals::NAME;
        while !handled(app, bank, flags).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Whether the bank has answered. The same order has the same id each time.
async fn order(
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
            answered(&app.dispatch(open).command_id(id).await)
        }
        Operation::Deposit { account, amount } => {
            let (account_id, transfer_id, refund) = (account.id, None, false);
            let deposit = DepositMoney { account_id, amount, transfer_id, refund, at };
            answered(&app.dispatch(deposit).command_id(id).await)
        }
        Operation::Withdraw { account, amount } => {
            let (account_id, transfer_id) = (account.id, None);
            let withdraw = WithdrawMoney { account_id, amount, transfer_id, at };
            answered(&app.dispatch(withdraw).command_id(id).await)
        }
        Operation::Close { account } => answered(
            &app.dispatch(CloseAccount { account_id: account.id, at }).command_id(id).await,
        ),
        Operation::Transfer { from, to, amount } => {
            let transfer_id = TransferId::from(id);
            let (source_id, target_id) = (from.id, to.id);
            let start = StartTransfer { transfer_id, source_id, target_id, amount, at };
            match app.dispatch(start).command_id(id).await {
                Err(DispatchError::Rejected(_)) => true,
                Ok(_) => over(bank, transfer_id).await,
                Err(_) => false,
            }
        }
        _ => true,
    }
}

fn answered<T>(answer: &Result<T, DispatchError<AccountError>>) -> bool {
    matches!(answer, Ok(_) | Err(DispatchError::Rejected(_)))
}

/// Whether a transfer is over.
async fn over(bank: &ProcessSide, transfer: TransferId) -> bool {
    matches!(
        bank.transfer(transfer).await,
        Ok(Some(found)) if found.status == InstanceStatus::Ended && !found.is_busy()
    )
}

/// Whether a handler knows everything.
async fn handled(app: &App, bank: &ProcessSide, name: &str) -> bool {
    let Ok(head) = app.store().head().await else { return false };
    let waited = bank.consumers().wait_for(name, head, AGAIN).await;
    matches!(waited, Ok(Waited::CaughtUp))
}

/// How everything stands: what happened in each stream. Checks that no money was made or lost.
async fn ending(app: &App) -> Result<String, String> {
    let wrong = |error: &dyn std::error::Error| error.to_string();
    let log = app.store().read(Read::all()).await.map_err(|error| wrong(&error))?;
    let mut streams = std::collections::BTreeMap::<String, String>::new();
    let (mut there, mut came) = (std::collections::BTreeMap::new(), 0);
    for event in log.collect().await.map_err(|error| wrong(&error))? {
        let told = streams.entry(event.stream.to_string()).or_default();
        let _ = write!(told, " {}", event.event.name);
        if event.stream.category() != "account" {
            continue;
        }
        let event: Recorded<AccountEvent> = event.into_decoded().map_err(|error| wrong(&error))?;
        let (change, balance, by_hand) = match event.event {
            AccountEvent::AccountOpened { initial_balance, .. } => {
                (initial_balance.to_cents(), initial_balance, true)
            }
            AccountEvent::MoneyDeposited { amount, new_balance, transfer_id, .. } => {
                (amount.to_cents(), new_balance, transfer_id.is_none())
            }
            AccountEvent::MoneyWithdrawn { amount, new_balance, transfer_id, .. } => {
                (-amount.to_cents(), new_balance, transfer_id.is_none())
            }
            AccountEvent::AccountClosed { .. } => (0, Money::ZERO, true),
        };
        if balance < Money::ZERO {
            return Err(format!("{} was overdrawn: {balance}", event.stream));
        }
        came += if by_hand { change } else { 0 };
        let _ = write!(told, " {balance}");
        there.insert(event.stream.to_string(), balance.to_cents());
    }
    let there: i64 = there.values().sum();
    if there != came {
        return Err(format!("{came} cents came in, {there} are there"));
    }
    Ok(streams.iter().map(|(stream, told)| format!("{stream}:{told}\n")).collect())
}

/// What outlives a bank in memory.
struct Stored {
    store: MemoryStore,
    kept: MemoryReadStore,
    clock: ManualClock,
    notebook: Notebook,
}

impl Stored {
    fn new(point: &CrashPoint) -> Self {
        let noon = Timestamp::UNIX_EPOCH.plus(Duration::from_secs(12 * 60 * 60));
        let clock = ManualClock::at(noon);
        let (ours, theirs) = (point.clone(), point.clone());
        let store = MemoryStore::builder().clock(clock.clone());
        let kept = MemoryReadStore::builder().clock(clock.clone());
        Self {
            store: store.on_step(move |step| ours.step(step)).build(),
            kept: kept.on_step(move |step| theirs.step(step)).build(),
            clock,
            notebook: Notebook::Memory(AtomicUsize::new(0)),
        }
    }

    async fn run(&self, teller: &Teller) -> App {
        let app = App::new(self.store.clone());
        let kept = || OpenReadStore::Memory(self.kept.clone());
        let bank = loop {
            match ProcessSide::start(&app, self.clock.clone(), LEASE, kept()).await {
                Ok(bank) => break bank,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        };
        teller.go_on(&app, &bank, &self.notebook).await;
        bank.stop().await;
        app
    }
}

/// The story in memory, killed before and after each step of its stores.
fn in_memory(story: &str) -> String {
    let teller = Teller::of(story);
    let survived = crash_at_every_step(
        Stored::new,
        async |stored| {
            stored.run(&teller).await;
        },
        async |stored| {
            // Whoever died is missed by now.
            stored.clock.advance(LEASE * 2);
            let app = stored.run(&teller).await;
            ending(&app).await.unwrap_or_else(|wrong| panic!("{wrong}"))
        },
    );
    format!(
        "{} crash points survived, all there are in {} steps: the money is there, and the end is \
         the same\n{}",
        survived.crashes, survived.steps, survived.end
    )
}

/// The story on Postgres, told by a process that is killed.
fn on_postgres(story: &str, store: &StoreArguments) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = std::env::temp_dir().join(format!("bank-crash-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let script = folder.join("story.txt");
    std::fs::write(&script, story).map_err(|error| error.to_string())?;
    let runs = AtomicUsize::new(0);
    let unique = Uuid::now_v7().simple().to_string();
    let killed = kill_at_many_moments(
        MOMENTS,
        || {
            let run = runs.fetch_add(1, Ordering::AcqRel);
            let schema = format!("cr_{}_{run}", &unique[24..]);
            (schema, folder.join(format!("notes-{run}")))
        },
        |(schema, notebook)| {
            let mut run = Command::new(&program);
            run.arg(&script).args(["--store", &store.store, "--schema", schema]);
            run.arg("--notebook").arg(notebook);
            run
        },
        |(schema, _)| {
            let store = StoreArguments { schema: Some(schema.clone()), ..store.clone() };
            let told = super::on_runtime(async {
                let store = store.open("bank", SystemClock).await?;
                ending(&App::new(store)).await
            });
            told.and_then(|told| told).unwrap_or_else(|wrong| panic!("{wrong}"))
        },
    );
    // What did not survive is left as it is, to be looked at.
    let _ = std::fs::remove_dir_all(&folder);
    super::on_runtime(forget(store, &format!("cr_{}_", &unique[24..])))??;
    Ok(format!(
        "{} kills survived in runs of {:?}: the money is there, and the end is the same\n{}",
        killed.kills, killed.took, killed.end
    ))
}

/// Drops the schemas of a test.
async fn forget(store: &StoreArguments, prefix: &str) -> Result<(), String> {
    let store = StoreArguments { schema: Some(format!("{prefix}0")), ..store.clone() };
    let OpenReadStore::Postgres(kept) = store.open_processes("bank").await? else {
        return Ok(());
    };
    let told = |error: sqlx::Error| error.to_string();
    let all = "select nspname::text from pg_namespace where starts_with(nspname, $1)";
    let all = sqlx::query_scalar::<_, String>(all).bind(prefix).fetch_all(kept.pool()).await;
    for schema in all.map_err(told)? {
        let drop = format!("drop schema \"{schema}\" cascade");
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(kept.pool()).await.map_err(told)?;
    }
    Ok(())
}

/// One process of the slower form: goes on where the notebook says it stopped.
pub(super) async fn go_on(
    story: &str,
    store: &StoreArguments,
    notebook: &Path,
) -> Result<(), String> {
    let app = App::new(store.open("bank", SystemClock).await?);
    let kept = store.open_processes("bank").await?;
    let bank = ProcessSide::start(&app, SystemClock, LEASE, kept).await;
    let bank = bank.map_err(|error| error.to_string())?;
    Teller::of(story).go_on(&app, &bank, &Notebook::File(notebook.to_owned())).await;
    bank.stop().await;
    Ok(())
}

/// Tells how the story survives. A crash that it does not survive is a panic that says where.
pub(super) fn test(story: &str, store: &StoreArguments) -> ExitCode {
    let told = match store.store.as_str() {
        "memory" => Ok(in_memory(story)),
        _ => on_postgres(story, store),
    };
    match told {
        Ok(told) => {
            println!("{}", told.lines().next().unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::from(1)
        }
    }
}
