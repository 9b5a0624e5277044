//! Running a story line by line.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use cqrs::{
    Aggregate, App, Command, Event, EventHandler, EventStore, EventStoreExt, Outcome, Position,
    Recorded, StreamName, Timestamp, Version,
    app::{Clock, DispatchError, LoadError},
    event::Uuid,
    process::InstanceStatus,
    projection::{OperatorError, Waited},
    repository::AsOf,
    store::{Filter, Read},
};
use example_shared::StoreArguments;

use super::clock::StoryClock;
use super::color::Colors;
use super::operation::{Label, When};
use super::{Operation, parse, render};
use crate::domain::account::{CloseAccount, DepositMoney, OpenAccount, WithdrawMoney};
use crate::domain::suspicion::{Suspicion, SuspicionEvent};
use crate::domain::transfer::StartTransfer;
use crate::domain::{Account, AccountId, Money, TransferId};
use crate::process::{FlagLargeWithdrawals, ProcessSide};
use crate::read::{self, BankEvent, ReadModels};
use crate::seed::seed;

/// The longest time to wait for a transfer, or for a read model to catch up.
const WITHIN: Duration = Duration::from_secs(10);

/// The interval of checks whether a transfer has finished.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Counts of what happened in a story.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Lines that were run, including those that the bank rejected.
    pub operations: u64,
    /// Commands that the bank's rules rejected, which is not a failure.
    pub rejected: u64,
    /// Operations that failed for another reason, such as an unreachable database.
    pub failed: u64,
    /// Lines that could not be parsed.
    pub invalid: u64,
}

impl Summary {
    /// Returns `true` if every line could be parsed and no operation failed.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.failed == 0 && self.invalid == 0
    }
}

/// The number of entries that `feed` prints.
const RECENT_IN_FEED: usize = 10;

async fn read_models(arguments: &StoreArguments, app: &App) -> io::Result<ReadModels> {
    let store = arguments.open_read("bank").await.map_err(io::Error::other)?;
    ReadModels::start(app, store).await.map_err(io::Error::other)
}

/// A running story.
pub(super) struct Story<'a> {
    app: App,
    clock: StoryClock,
    arguments: &'a StoreArguments,
    read: ReadModels,
    processes: ProcessSide,
    /// The position of the newest known event, which queries wait for.
    known: Position,
    /// The names of the accounts in the story.
    names: HashMap<AccountId, String>,
    out: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    colors: Colors,
    /// The file and the number of the current line.
    location: String,
    summary: Summary,
}

impl<'a> Story<'a> {
    pub(super) async fn begin(
        arguments: &'a StoreArguments,
        colors: Colors,
        out: &'a mut dyn Write,
        errors: &'a mut dyn Write,
    ) -> io::Result<Self> {
        let clock = StoryClock::default();
        let store = arguments.open("bank", clock.clone()).await.map_err(io::Error::other)?;
        let known = store.head().await.map_err(io::Error::other)?;
        let app = App::new(store);
        let read = read_models(arguments, &app).await?;
        let process_store = arguments.open_processes("bank").await.map_err(io::Error::other)?;
        let processes =
            ProcessSide::start(&app, clock.clone(), ProcessSide::LEASE, process_store).await;
        Ok(Self {
            app,
            clock,
            arguments,
            read,
            processes: processes.map_err(io::Error::other)?,
            known,
            names: HashMap::new(),
            out,
            errors,
            colors,
            location: String::new(),
            summary: Summary::default(),
        })
    }

    /// Runs every line. A line that cannot be parsed does not stop the others.
    pub(super) async fn run(mut self, name: &str, bytes: &[u8]) -> io::Result<Summary> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        for (number, line) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')) {
            let read = match std::str::from_utf8(line) {
                Ok(line) => parse(line).map(|operation| (line.trim(), operation)),
                Err(_) => Err("the line is not UTF-8".to_owned()),
            };
            self.location = format!("{name}:{number}");
            match read {
                Ok((line, Some(operation))) => {
                    self.print(format_args!("> {}", render::fit(line, 2)))?;
                    self.summary.operations += 1;
                    self.carry_out(operation).await?;
                }
                // Comments and empty lines are part of the output.
                Ok((comment, None)) => self.print(self.colors.dim(&render::fit(comment, 0)))?,
                Err(message) => {
                    self.summary.invalid += 1;
                    self.print_error(message)?;
                }
            }
        }
        let Summary { operations, rejected, failed, invalid } = self.summary;
        self.print(format_args!(
            "{operations} operations: {rejected} rejected, {failed} failed; {invalid} invalid lines"
        ))?;
        self.out.flush()?;
        self.processes.stop().await;
        self.read.projections().stop().await;
        Ok(self.summary)
    }

    async fn carry_out(&mut self, operation: Operation) -> io::Result<()> {
        let at = self.clock.now();
        match operation {
            Operation::Open { account, owner, amount: initial_balance } => {
                let account_id = self.id_of(account);
                self.dispatch(OpenAccount { account_id, owner, initial_balance, at }).await
            }
            Operation::Deposit { account, amount } => {
                let account_id = self.id_of(account);
                let (transfer_id, refund) = (None, false);
                self.dispatch(DepositMoney { account_id, amount, transfer_id, refund, at }).await
            }
            Operation::Withdraw { account, amount } => {
                let account_id = self.id_of(account);
                self.dispatch(WithdrawMoney { account_id, amount, transfer_id: None, at }).await
            }
            Operation::Close { account } => {
                let account_id = self.id_of(account);
                self.dispatch(CloseAccount { account_id, at }).await
            }
            Operation::Transfer { from, to, amount } => self.transfer(from, to, amount).await,
            Operation::Seed => match seed(&self.app).await {
                Ok(outcomes) => outcomes.iter().try_for_each(|outcome| self.report(outcome)),
                Err(error) => self.fail(&error),
            },
            Operation::Show
            | Operation::Feed
            | Operation::Statement { .. }
            | Operation::Lag
            | Operation::Flags { .. }
            | Operation::History { .. }
            | Operation::Balance { .. } => match self.answer(operation).await {
                Ok(answer) => self.print(answer),
                Err(error) => self.fail(error.as_ref()),
            },
            Operation::Rebuild { name } => match self.read.projections().rebuild(&name).await {
                Ok(()) => {
                    self.print(format_args!("  rebuilding {name}; queries use the old table"))
                }
                Err(error) => self.fail(&error),
            },
            Operation::DropRead => self.drop_read().await,
            Operation::Time { moment } => self.set_time(moment),
        }
    }

    /// Returns the answer to a query; those on read models include every earlier operation.
    async fn answer(&mut self, query: Operation) -> Result<String, Box<dyn Error>> {
        match query {
            Operation::Show => {
                self.catch_up().await?;
                let rows = self.read.accounts().await?;
                Ok(render::accounts(&rows, &self.names).trim_fmt())
            }
            Operation::Feed => {
                self.catch_up().await?;
                Ok(render::feed(&self.read.feed(RECENT_IN_FEED).await?).trim_fmt())
            }
            Operation::Statement { account, month } => {
                self.catch_up().await?;
                let statement = self.read.statement(account.id, month).await?;
                Ok(render::statement(&account, month, statement))
            }
            Operation::Lag => {
                self.catch_up().await?;
                Ok(render::lag(&self.read.projections().health().await?).trim_fmt())
            }
            Operation::Flags { account } => match self.flags(account.id).await? {
                flags if flags.is_empty() => Ok("  no flagged withdrawals".to_owned()),
                flags => Ok(flags.join("\n")),
            },
            Operation::History { account } => {
                let entries = read::history(self.app.store(), account.id, read::RECENT).await?;
                Ok(render::history(&entries).trim_fmt())
            }
            Operation::Balance { account, when } => {
                Ok(render::wrapped(&format!("  {}", self.balance(&account, when).await?)))
            }
            other => Err(format!("not a query: {other:?}").into()),
        }
    }

    /// Waits until the read models contain every known event.
    async fn catch_up(&mut self) -> io::Result<()> {
        let built = self.read.wait_until_built(WITHIN).await.map_err(io::Error::other)?;
        let waiter = self.read.projections().waiter([]).map_err(io::Error::other)?;
        if built && waiter.wait(self.known, WITHIN).await == Waited::CaughtUp {
            return Ok(());
        }
        self.print(self.colors.dim("  warning: the following may be out of date"))
    }

    /// Drops the read models and rebuilds them from the log.
    async fn drop_read(&mut self) -> io::Result<()> {
        self.read.projections().stop().await;
        let store = self.arguments.open_read("bank").await.map_err(io::Error::other)?;
        store.drop_everything().await.map_err(io::Error::other)?;
        self.read = read_models(self.arguments, &self.app).await?;
        self.print("  all tables dropped; rebuilding them from the log")
    }

    fn id_of(&mut self, account: Label) -> AccountId {
        self.names.insert(account.id, account.name);
        account.id
    }

    async fn dispatch(&mut self, command: impl Command<Aggregate = Account>) -> io::Result<()> {
        match self.app.dispatch(command).await {
            Ok(outcome) => self.report(&outcome),
            Err(DispatchError::Rejected(reason)) => self.reject(&reason),
            Err(error) => self.fail(&error),
        }
    }

    fn reject(&mut self, reason: &dyn Error) -> io::Result<()> {
        self.summary.rejected += 1;
        let line = format!("  x rejected: {reason}");
        self.print(self.colors.red(&render::wrapped(&line)))
    }

    /// Prints the events of a command.
    fn report(&mut self, outcome: &Outcome<Account>) -> io::Result<()> {
        self.known = self.known.max(outcome.position);
        for recorded in &outcome.events {
            let name = recorded.event.event_type().name();
            let line = format!("v{} {name}", recorded.version);
            let line = format!("  + {line:<26} {}", render::event(&recorded.event));
            self.print(self.colors.green(&render::wrapped(&line)))?;
        }
        Ok(())
    }

    /// Starts a transfer, waits until it has finished, and prints its events as a tree.
    async fn transfer(&mut self, from: Label, to: Label, amount: Money) -> io::Result<()> {
        let (source_id, target_id, at) = (self.id_of(from), self.id_of(to), self.clock.now());
        // Derived, so that the same story has the same ids in every run.
        let name = format!("{source_id} {target_id} {amount} {at} {}", self.known);
        let transfer_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).into();
        let start = StartTransfer { transfer_id, source_id, target_id, amount, at };
        let started = match self.app.dispatch(start).await {
            Ok(started) => started,
            Err(DispatchError::Rejected(reason)) => return self.reject(&reason),
            Err(error) => return self.fail(&error),
        };
        let finished = tokio::time::timeout(WITHIN, self.until_finished(transfer_id)).await;
        match finished {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return self.fail(&error),
            Err(_) => self.print(self.colors.dim("  the transfer has not finished yet"))?,
        }
        let conversation = started.metadata.correlation_id.map(Filter::correlation);
        let read = Read::filter(conversation.unwrap_or_default());
        let events = async { self.app.store().read_as::<BankEvent>(read).await?.collect().await };
        match events.await {
            Ok(events) => self.print_causes(&events),
            Err(error) => self.fail(&error),
        }
    }

    /// Returns the flagged withdrawals of an account, after every known event has been handled.
    async fn flags(&mut self, account: AccountId) -> Result<Vec<String>, io::Error> {
        let processes = self.processes.processes();
        let started = processes.wait_until_started(FlagLargeWithdrawals::NAME, WITHIN).await;
        let name = started.map(|_| FlagLargeWithdrawals::NAME).map_err(io::Error::other)?;
        let waited = processes.wait_for(name, self.known, WITHIN).await;
        if waited.map_err(io::Error::other)? != Waited::CaughtUp {
            return Err(io::Error::other("withdrawals are still being checked"));
        }
        let stream = StreamName::of(Suspicion::CATEGORY, &account).map_err(io::Error::other)?;
        let read = self.app.store().read_as::<SuspicionEvent>(Read::stream(stream)).await;
        let events = read.map_err(io::Error::other)?.collect().await.map_err(io::Error::other)?;
        Ok(events
            .iter()
            .map(|flag| {
                self.known = self.known.max(flag.position);
                let SuspicionEvent::SuspiciousActivityFlagged { amount, at, .. } = &flag.event;
                format!("  ! {amount} withdrawn at {at}")
            })
            .collect())
    }

    async fn until_finished(&self, transfer: TransferId) -> Result<(), OperatorError> {
        loop {
            if let Some(found) = self.processes.transfer(transfer).await?
                && found.status != InstanceStatus::Running
                && !found.is_busy()
            {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Prints each event below the event that caused it.
    fn print_causes(&mut self, events: &[Recorded<BankEvent>]) -> io::Result<()> {
        let mut depths = HashMap::new();
        for recorded in events {
            self.known = self.known.max(recorded.position);
            let cause = recorded.metadata.causation_id.map(|cause| cause.as_uuid());
            let depth = cause.and_then(|cause| depths.get(&cause)).map_or(0, |depth| depth + 1);
            depths.insert(recorded.id.as_uuid(), depth);
            // The events of a command go below the event that caused the command.
            if let Some(command) = recorded.metadata.command_id {
                depths.insert(command.as_uuid(), depth);
            }
            let text = match &recorded.event {
                BankEvent::Account(event) => render::event(event),
                BankEvent::Transfer(event) => render::transfer(event),
            };
            let name = recorded.event.event_type().name();
            let line = format!("{}+ {name}", "  ".repeat(depth + 1));
            self.print(self.colors.green(&render::wrapped(&format!("{line:<38} {text}"))))?;
        }
        Ok(())
    }

    async fn balance(&self, account: &Label, when: When) -> Result<String, LoadError> {
        let (id, name) = (&account.id, &account.name);
        let past = |as_of| self.app.load_as_of::<Account>(id, as_of);
        let (when, balance) = match when {
            When::Now => {
                let now = self.app.load::<Account>(id).await?;
                (format!("now (version {})", now.version()), now.state().balance())
            }
            When::Version(number) => {
                let past = past(AsOf::Version(Version::new(number))).await?;
                (format!("at version {}", past.version()), past.state().balance())
            }
            When::At(moment) => {
                let past = past(AsOf::Time(moment)).await?;
                (format!("at {moment} (version {})", past.version()), past.state().balance())
            }
        };
        let balance = balance.map_or_else(|none| none.to_string(), |balance| balance.to_string());
        Ok(format!("{name} {when}: {balance}"))
    }

    /// Sets the clock. It cannot go back: `balance ... at TIME` relies on events being in order.
    fn set_time(&mut self, moment: Timestamp) -> io::Result<()> {
        match self.clock.set(moment) {
            Ok(()) => Ok(()),
            Err(now) => {
                self.summary.failed += 1;
                self.print_error(format_args!("cannot set the time before {now}"))
            }
        }
    }

    fn print(&mut self, what: impl Display) -> io::Result<()> {
        writeln!(self.out, "{what}")
    }

    fn fail(&mut self, error: &(dyn Error + 'static)) -> io::Result<()> {
        self.summary.failed += 1;
        self.print_error(cqrs::error_chain(error))
    }

    /// Prints an error with its location.
    fn print_error(&mut self, error: impl Display) -> io::Result<()> {
        // Keeps the order if both go to the same terminal.
        self.out.flush()?;
        writeln!(self.errors, "{}: {error}", self.location)
    }
}
