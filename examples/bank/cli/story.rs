//! Running a story line by line.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
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
use super::operation::{Label, When};
use super::paint::Paint;
use super::{Operation, parse, show};
use crate::domain::account::{CloseAccount, DepositMoney, OpenAccount, WithdrawMoney};
use crate::domain::suspicion::{Suspicion, SuspicionEvent};
use crate::domain::transfer::StartTransfer;
use crate::domain::{Account, AccountId, Money, TransferId};
use crate::process::{FlagLargeWithdrawals, ProcessSide};
use crate::read::{self, BankEvent, ReadSide};
use crate::seed::seed;

/// The longest wait for a read model to know the last command.
const WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether a transfer is over.
const LOOK: Duration = Duration::from_millis(2);

/// How a story went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Lines that were carried out, refusals included.
    pub operations: u64,
    /// Commands that the bank's rules refused: an outcome like others.
    pub refused: u64,
    /// Operations that broke down.
    pub failed: u64,
    /// Lines that were not understood.
    pub not_understood: u64,
}

impl Summary {
    /// Whether every line was understood and nothing broke down.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.failed == 0 && self.not_understood == 0
    }
}

/// How much a feed shows.
const RECENT_IN_FEED: usize = 10;

async fn read_side(arguments: &StoreArguments, app: &App) -> io::Result<ReadSide> {
    let store = arguments.open_read("bank").await.map_err(io::Error::other)?;
    ReadSide::start(Arc::clone(app.store()), store).await.map_err(io::Error::other)
}

/// A story under way.
pub(super) struct Story<'a> {
    app: App,
    clock: StoryClock,
    arguments: &'a StoreArguments,
    read: ReadSide,
    processes: ProcessSide,
    /// The last thing that happened, which every table has to know.
    known: Position,
    /// What the story calls its accounts.
    names: HashMap<AccountId, String>,
    out: &'a mut dyn Write,
    complaints: &'a mut dyn Write,
    paint: Paint,
    /// The file and the line being carried out.
    place: String,
    summary: Summary,
}

impl<'a> Story<'a> {
    pub(super) async fn begin(
        arguments: &'a StoreArguments,
        paint: Paint,
        out: &'a mut dyn Write,
        complaints: &'a mut dyn Write,
    ) -> io::Result<Self> {
        let clock = StoryClock::default();
        let store = arguments.open("bank", clock.clone()).await.map_err(io::Error::other)?;
        let known = store.head().await.map_err(io::Error::other)?;
        let app = App::new(store);
        let read = read_side(arguments, &app).await?;
        let kept = arguments.open_processes("bank").await.map_err(io::Error::other)?;
        let processes = ProcessSide::start(&app, clock.clone(), ProcessSide::LEASE, kept).await;
        Ok(Self {
            app,
            clock,
            arguments,
            read,
            processes: processes.map_err(io::Error::other)?,
            known,
            names: HashMap::new(),
            out,
            complaints,
            paint,
            place: String::new(),
            summary: Summary::default(),
        })
    }

    /// Every line; one that is not understood does not stop the others.
    pub(super) async fn run(mut self, name: &str, bytes: &[u8]) -> io::Result<Summary> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        for (number, line) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')) {
            let read = match std::str::from_utf8(line) {
                Ok(line) => parse(line).map(|operation| (line.trim(), operation)),
                Err(_) => Err("the line is not UTF-8".to_owned()),
            };
            self.place = format!("{name}:{number}");
            match read {
                Ok((line, Some(operation))) => {
                    self.say(format_args!("> {}", show::fit(line, 2)))?;
                    self.summary.operations += 1;
                    self.carry_out(operation).await?;
                }
                // Remarks tell the story; an empty line is a pause in it.
                Ok((remark, None)) => self.say(self.paint.dim(&show::fit(remark, 0)))?,
                Err(wrong) => {
                    self.summary.not_understood += 1;
                    self.complain(wrong)?;
                }
            }
        }
        let Summary { operations, refused, failed, not_understood } = self.summary;
        self.say(format_args!(
            "{operations} operations, {refused} refused, {failed} failed, \
             {not_understood} lines not understood"
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
                self.ask(OpenAccount { account_id, owner, initial_balance, at }).await
            }
            Operation::Deposit { account, amount } => {
                let account_id = self.id_of(account);
                let (transfer_id, refund) = (None, false);
                self.ask(DepositMoney { account_id, amount, transfer_id, refund, at }).await
            }
            Operation::Withdraw { account, amount } => {
                let account_id = self.id_of(account);
                self.ask(WithdrawMoney { account_id, amount, transfer_id: None, at }).await
            }
            Operation::Close { account } => {
                let account_id = self.id_of(account);
                self.ask(CloseAccount { account_id, at }).await
            }
            Operation::Transfer { from, to, amount } => self.transfer(from, to, amount).await,
            Operation::Seed => match seed(&self.app).await {
                Ok(outcomes) => outcomes.iter().try_for_each(|outcome| self.told(outcome)),
                Err(error) => self.failed(&error),
            },
            Operation::Flags { account } => match self.flags(account.id).await {
                Ok(flags) if flags.is_empty() => self.say("  nothing to look into"),
                Ok(flags) => flags.iter().try_for_each(|flag| self.say(flag)),
                Err(error) => self.failed(&error),
            },
            Operation::Show => {
                self.catch_up().await?;
                match self.read.accounts().await {
                    Ok(rows) => self.say(show::accounts(&rows, &self.names).trim_fmt()),
                    Err(error) => self.failed(&error),
                }
            }
            Operation::Feed => {
                self.catch_up().await?;
                match self.read.feed(RECENT_IN_FEED).await {
                    Ok(entries) => self.say(show::feed(&entries).trim_fmt()),
                    Err(error) => self.failed(&error),
                }
            }
            Operation::Statement { account, month } => {
                self.catch_up().await?;
                match self.read.statement(account.id, month).await {
                    Ok(statement) => self.say(show::statement(&account, month, statement)),
                    Err(error) => self.failed(&error),
                }
            }
            Operation::Lag => {
                self.catch_up().await?;
                match self.read.projections().health().await {
                    Ok(health) => self.say(show::lag(&health).trim_fmt()),
                    Err(error) => self.failed(&error),
                }
            }
            Operation::Rebuild { name } => match self.read.projections().rebuild(&name).await {
                Ok(()) => self.say(format_args!("  {name} is built anew beside the old one")),
                Err(error) => self.failed(&error),
            },
            Operation::DropRead => self.drop_read().await,
            Operation::History { account } => {
                match read::history(self.app.store(), account.id, read::RECENT).await {
                    Ok(entries) => self.say(show::history(&entries).trim_fmt()),
                    Err(error) => self.failed(&error),
                }
            }
            Operation::Balance { account, when } => match self.balance(&account, when).await {
                Ok(balance) => self.say(show::wrapped(&format!("  {balance}"))),
                Err(error) => self.failed(&error),
            },
            Operation::Time { moment } => self.set_time(moment),
        }
    }

    /// Every table is to show what was done before it is asked for.
    async fn catch_up(&mut self) -> io::Result<()> {
        let ready = async {
            let built = self.read.wait_until_built(WITHIN).await.map_err(io::Error::other)?;
            let waiter = self.read.projections().waiter([]).map_err(io::Error::other)?;
            Ok::<_, io::Error>(built && waiter.wait(self.known, WITHIN).await == Waited::CaughtUp)
        };
        match ready.await {
            Ok(true) => Ok(()),
            Ok(false) => self.say(self.paint.dim("  what follows may be behind")),
            Err(error) => self.failed(&error),
        }
    }

    /// As if somebody had dropped the read database: everything comes back from the log.
    async fn drop_read(&mut self) -> io::Result<()> {
        self.read.projections().stop().await;
        let store = self.arguments.open_read("bank").await.map_err(io::Error::other)?;
        store.drop_everything().await.map_err(io::Error::other)?;
        self.read = read_side(self.arguments, &self.app).await?;
        self.say("  all tables are dropped, and are built again from the log")
    }

    fn id_of(&mut self, account: Label) -> AccountId {
        self.names.insert(account.id, account.name);
        account.id
    }

    async fn ask(&mut self, command: impl Command<Aggregate = Account>) -> io::Result<()> {
        match self.app.dispatch(command).await {
            Ok(outcome) => self.told(&outcome),
            Err(DispatchError::Rejected(refusal)) => {
                self.summary.refused += 1;
                let line = format!("  x refused: {refusal}");
                self.say(self.paint.red(&show::wrapped(&line)))
            }
            Err(error) => self.failed(&error),
        }
    }

    /// What came of a command.
    fn told(&mut self, outcome: &Outcome<Account>) -> io::Result<()> {
        self.known = self.known.max(outcome.position);
        for recorded in &outcome.events {
            let name = recorded.event.event_type().name();
            let line = format!("v{} {name}", recorded.version);
            let line = format!("  + {line:<26} {}", show::event(&recorded.event));
            self.say(self.paint.green(&show::wrapped(&line)))?;
        }
        Ok(())
    }

    /// Starts a transfer, waits until it is over, and tells what led to what.
    async fn transfer(&mut self, from: Label, to: Label, amount: Money) -> io::Result<()> {
        let (source_id, target_id, at) = (self.id_of(from), self.id_of(to), self.clock.now());
        // The same story makes the same ids.
        let name = format!("{source_id} {target_id} {amount} {at} {}", self.known);
        let transfer_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).into();
        let start = StartTransfer { transfer_id, source_id, target_id, amount, at };
        let started = match self.app.dispatch(start).await {
            Ok(started) => started,
            Err(DispatchError::Rejected(refusal)) => {
                self.summary.refused += 1;
                let line = format!("  x refused: {refusal}");
                return self.say(self.paint.red(&show::wrapped(&line)));
            }
            Err(error) => return self.failed(&error),
        };
        let over = tokio::time::timeout(WITHIN, self.until_over(transfer_id)).await;
        match over {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return self.failed(&error),
            Err(_) => self.say(self.paint.dim("  it is still under way"))?,
        }
        let conversation = started.metadata.correlation_id.map(Filter::correlation);
        let read = Read::filter(conversation.unwrap_or_default());
        let events = async { self.app.store().read_as::<BankEvent>(read).await?.collect().await };
        match events.await {
            Ok(events) => self.tell_causes(&events),
            Err(error) => self.failed(&error),
        }
    }

    /// The withdrawals that were flagged, when all that is known was looked at.
    async fn flags(&mut self, account: AccountId) -> Result<Vec<String>, io::Error> {
        let consumers = self.processes.consumers();
        let built = consumers.wait_until_built(FlagLargeWithdrawals::NAME, WITHIN).await;
        let name = built.map(|_| FlagLargeWithdrawals::NAME).map_err(io::Error::other)?;
        let waited = consumers.wait_for(name, self.known, WITHIN).await;
        if waited.map_err(io::Error::other)? != Waited::CaughtUp {
            return Err(io::Error::other("not everything is looked at yet"));
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

    async fn until_over(&self, transfer: TransferId) -> Result<(), OperatorError> {
        loop {
            if let Some(found) = self.processes.transfer(transfer).await?
                && found.status != InstanceStatus::Running
                && !found.is_busy()
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Each event below the one that caused it.
    fn tell_causes(&mut self, events: &[Recorded<BankEvent>]) -> io::Result<()> {
        let mut depths = HashMap::new();
        for recorded in events {
            self.known = self.known.max(recorded.position);
            let cause = recorded.metadata.causation_id.map(|cause| cause.as_uuid());
            let depth = cause.and_then(|cause| depths.get(&cause)).map_or(0, |depth| depth + 1);
            depths.insert(recorded.id.as_uuid(), depth);
            // What answers a command that an event caused stands below that event.
            if let Some(command) = recorded.metadata.command_id {
                depths.insert(command.as_uuid(), depth);
            }
            let said = match &recorded.event {
                BankEvent::Account(event) => show::event(event),
                BankEvent::Transfer(event) => show::transfer(event),
            };
            let name = recorded.event.event_type().name();
            let line = format!("{}+ {name}", "  ".repeat(depth + 1));
            self.say(self.paint.green(&show::wrapped(&format!("{line:<38} {said}"))))?;
        }
        Ok(())
    }

    async fn balance(&self, account: &Label, when: When) -> Result<String, LoadError> {
        let (id, name) = (&account.id, &account.name);
        let past = |as_of| self.app.load_as_of::<Account>(id, as_of);
        let (time, version, balance) = match when {
            When::Now => {
                let now = self.app.load::<Account>(id).await?;
                ("now".to_owned(), now.version(), now.state().balance())
            }
            When::Version(number) => {
                let past = past(AsOf::Version(Version::new(number))).await?;
                ("as it was".to_owned(), past.version(), past.state().balance())
            }
            When::At(moment) => {
                let past = past(AsOf::Time(moment)).await?;
                (format!("at {moment}"), past.version(), past.state().balance())
            }
        };
        let balance = balance.map_or_else(|none| none.to_string(), |balance| balance.to_string());
        Ok(format!("{name}, {time}, version {version}: {balance}"))
    }

    /// A clock that went back would make nonsense of every look into the past.
    fn set_time(&mut self, moment: Timestamp) -> io::Result<()> {
        match self.clock.set(moment) {
            Ok(()) => Ok(()),
            Err(now) => {
                self.summary.failed += 1;
                self.complain(format_args!("it is {now} already, and time does not go back"))
            }
        }
    }

    fn say(&mut self, what: impl Display) -> io::Result<()> {
        writeln!(self.out, "{what}")
    }

    fn failed(&mut self, error: &dyn std::error::Error) -> io::Result<()> {
        self.summary.failed += 1;
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message.push_str(&format!(": {error}"));
            source = error.source();
        }
        self.complain(message)
    }

    /// Says where it happened and what.
    fn complain(&mut self, wrong: impl Display) -> io::Result<()> {
        // In the order of the lines, also when both go to the same terminal.
        self.out.flush()?;
        writeln!(self.complaints, "{}: {wrong}", self.place)
    }
}
