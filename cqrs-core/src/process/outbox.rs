//! Carries out the effects of instances: sends commands and records their answers, fires timers,
//! and carries out operator requests.
//!
//! Invariants:
//! - A command is sent only after the transaction that decided it is committed.
//! - A rejection is recorded in one transaction with the effects it leads to. If that transaction
//!   fails, none of these effects are carried out, and the command is sent again. An acceptance is
//!   recorded in the log; the instance records it with its next change or shortly afterwards.
//! - A timer fires only after the process has handled every event that was in the log when the
//!   timer was found to be due. Therefore an event that was recorded in time can cancel the timer,
//!   no matter how late it is handled.
//! - The commands of one instance are sent in order, one at a time. A slow instance delays no
//!   other.
//! - Commands run in separate tasks, because they may wait for something that the outbox itself
//!   needs, such as a connection.
//! - The outbox ends if the outcome of a commit is unknown; the next lease starts from the store.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::desk::{Desk, MAX_COMMANDS_FOR_TIMERS};
use super::destinations::{Destinations, Unsent};
use super::exchange::{Changed, Exchange, earlier};
use super::manager::ProcessManager;
use super::options::ProcessOptions;
use super::records::{Instance, OutgoingCommand, PendingWork};
use super::store::ProcessStore;
use crate::panics::panic_message;
use crate::projection::runtime::{Control, Shared};
use crate::projection::store::{CommitError, LeaseError, PartitionLease};
use crate::{App, CommandId, Metadata, Position, Retry, StoreError, Timestamp};

/// How many busy instances are loaded at once, per instance that may have a command in flight.
const LOOK_AHEAD: usize = 4;
/// How long an acceptance may stay unrecorded, unless its instance changes first.
const RECORD_WITHIN: Duration = Duration::from_millis(50);
/// How many instances one transaction changes to record acceptances.
const RECORD_BATCH: usize = 1_000;
/// The pause between checks whether the process has caught up, while timers are due.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(2);

pub(super) struct Outbox<S: ProcessStore, M> {
    pub(super) app: App,
    pub(super) shared: Arc<Shared<S>>,
    pub(super) lease: PartitionLease,
    pub(super) control: watch::Receiver<Control>,
    pub(super) manager: Arc<M>,
    pub(super) destinations: Arc<Destinations>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) options: ProcessOptions,
    pub(super) actor: String,
}

/// The lease is lost, or the outcome of a commit is unknown.
pub(super) struct Ended;

/// The result of sending the commands of an instance.
struct Completed {
    /// The instance with the commands that were not accepted.
    instance: Instance,
    accepted: Vec<CommandId>,
    failed: Option<(OutgoingCommand, Unsent)>,
}

/// The commands in flight, and the instances whose commands are not sent for now.
#[derive(Default)]
struct InFlight {
    tasks: JoinSet<Completed>,
    instances: HashSet<String>,
    /// Instances with an operator request.
    requested: HashSet<String>,
    /// The pauses of commands that are retried.
    backoffs: HashMap<CommandId, ExponentialBackoff>,
    /// When the commands of instances with a failed command are sent again.
    retry_at: HashMap<String, Instant>,
    /// When acceptances are recorded.
    record_at: Option<Instant>,
    /// The head of the log when timers were found to be due.
    due_at_head: Option<Position>,
}

/// The result of loading pending work.
struct Loaded {
    next_due: Option<Timestamp>,
    /// When to load again.
    pause: Duration,
}

impl<S: ProcessStore, M: ProcessManager> Outbox<S, M> {
    /// Runs until the lease is lost.
    pub(super) async fn run(mut self) {
        self.exchange.clear();
        let _: Result<(), Ended> = self.work().await;
    }

    async fn work(&mut self) -> Result<(), Ended> {
        let mut in_flight = InFlight::default();
        let (mut load_at, mut next_due) = (Instant::now(), None);
        loop {
            let control = *self.control.borrow_and_update();
            // Only when caught up: before that, answers to earlier commands may not be handled yet.
            let works = control.live && !control.paused && !control.stop;
            let mut wake_at = Instant::now() + self.shared.poll_interval;
            if works {
                next_due = earlier(next_due, self.exchange.take_next_due());
                let now = self.shared.clock.now();
                let is_due = next_due.is_some_and(|due| due <= now);
                if is_due || load_at <= Instant::now() || self.exchange.has_left_out() {
                    let loaded = self.load(now, &mut in_flight).await?;
                    next_due = loaded.next_due;
                    load_at = Instant::now() + loaded.pause;
                }
                if let Some(due) = next_due {
                    wake_at = wake_at.min(Instant::now() + due.since(self.shared.clock.now()));
                }
                self.send_next(&mut in_flight);
                wake_at = wake_at.min(load_at);
            }
            if in_flight.record_at.is_some_and(|at| at <= Instant::now()) {
                self.record(&mut in_flight).await?;
            }
            let timed = in_flight.retry_at.values().chain(&in_flight.record_at).min();
            let wake_at = timed.map_or(wake_at, |at| wake_at.min(*at));
            tokio::select! {
                Some(completed) = in_flight.tasks.join_next() => {
                    let mut completed = vec![completed];
                    while let Some(more) = in_flight.tasks.try_join_next() {
                        completed.push(more);
                    }
                    // The tasks do not panic, and are aborted only when the outbox ends.
                    let completed: Vec<Completed> = completed.into_iter().flatten().collect();
                    for task in &completed {
                        in_flight.instances.remove(&task.instance.id);
                    }
                    self.complete(completed, &mut in_flight).await?;
                }
                () = self.exchange.changed.notified() => {}
                // Changes at each heartbeat and after operator requests.
                changed = self.control.changed() => {
                    changed.map_err(|_| Ended)?;
                    load_at = Instant::now();
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    /// Loads pending work from the store, carries out requests and fires timers.
    async fn load(&self, now: Timestamp, in_flight: &mut InFlight) -> Result<Loaded, Ended> {
        let later = self.shared.poll_interval;
        let process = &self.lease.partition.consumer;
        let limit = in_flight.instances.len() + self.options.in_flight * LOOK_AHEAD;
        let PendingWork { mut busy, mut due, next_due, requests } = match self
            .shared
            .read
            .pending_work(process, now, limit)
            .await
        {
            Ok(pending) => pending,
            Err(error) => {
                tracing::warn!(partition = %self.lease.partition, %error, "loading pending work failed");
                return Ok(Loaded { next_due: None, pause: later });
            }
        };
        // Instances with a request are sent after the next load: one that has been ended has
        // nothing left to send.
        in_flight.requested = requests.iter().map(|request| request.instance.clone()).collect();
        let has_too_many_commands = |id: &String| {
            let mut found = busy.iter().filter(|instance| instance.id == *id);
            found.any(|instance| instance.commands.len() >= MAX_COMMANDS_FOR_TIMERS)
        };
        due.retain(|id| !has_too_many_commands(id));
        busy.retain(|instance| !in_flight.requested.contains(&instance.id));
        self.exchange.loaded(busy);
        let InFlight { instances, requested, .. } = &mut *in_flight;
        let carried_out = self.carry_out(&requests, instances, requested).await?;
        let mut pause = if carried_out { Duration::ZERO } else { later };
        if due.is_empty() {
            in_flight.due_at_head = None;
        } else if self.has_caught_up(in_flight).await {
            self.change(&due, |desk| due.iter().for_each(|id| desk.fire_timers(id))).await?;
            in_flight.due_at_head = None;
            pause = Duration::ZERO;
        } else {
            pause = pause.min(CATCH_UP_PAUSE);
        }
        Ok(Loaded { next_due, pause })
    }

    /// Returns `true` if the process has handled every event that was in the log when timers were
    /// found to be due.
    async fn has_caught_up(&self, in_flight: &mut InFlight) -> bool {
        if in_flight.due_at_head.is_none() {
            in_flight.due_at_head = self.shared.head().await.ok();
        }
        let cursor = self.shared.cursor(&self.lease.partition);
        in_flight.due_at_head.is_some_and(|head| cursor >= Some(head))
    }

    /// Sends the commands of as many instances as the options allow.
    fn send_next(&self, in_flight: &mut InFlight) {
        let now = Instant::now();
        in_flight.retry_at.retain(|_, retry_at| *retry_at > now);
        while in_flight.tasks.len() < self.options.in_flight {
            let InFlight { instances, requested, retry_at, .. } = &*in_flight;
            let is_free = |id: &str| {
                !(instances.contains(id) || requested.contains(id) || retry_at.contains_key(id))
            };
            let Some((instance, is_new)) = self.exchange.take(is_free) else { break };
            in_flight.instances.insert(instance.id.clone());
            let (app, actor) = (self.app.clone(), self.actor.clone());
            let (destinations, deadline) = (Arc::clone(&self.destinations), self.options.deadline);
            let sending = send_commands(app, actor, destinations, deadline, instance, is_new);
            in_flight.tasks.spawn(sending);
        }
    }

    /// Handles the answers of commands that were in flight.
    async fn complete(
        &self,
        completed: Vec<Completed>,
        in_flight: &mut InFlight,
    ) -> Result<(), Ended> {
        let mut failures = Vec::new();
        for Completed { instance, accepted, failed } in completed {
            for id in &accepted {
                in_flight.backoffs.remove(id);
            }
            if !accepted.is_empty() {
                self.exchange.accept(&instance.id, &accepted);
                in_flight.record_at.get_or_insert_with(|| Instant::now() + RECORD_WITHIN);
            }
            let Some((command, unsent)) = failed else { continue };
            if let Unsent::Failed { reason, retry } = &unsent
                && *retry != Retry::Never
            {
                let backoff = in_flight.backoffs.entry(command.id);
                let backoff = backoff.or_insert_with(|| self.options.backoff());
                if let Some(pause) = backoff.next() {
                    let (process, id) = (M::NAME, instance.id.clone());
                    tracing::warn!(process, instance = id, ?pause, reason, "command retried");
                    in_flight.retry_at.insert(id, Instant::now() + pause);
                    self.exchange.put_back(instance);
                    continue;
                }
                in_flight.backoffs.remove(&command.id);
            }
            failures.push((instance.id, command, unsent));
        }
        if failures.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = failures.iter().map(|(id, ..)| id.clone()).collect();
        self.change(&ids, |desk| {
            for (id, command, unsent) in &failures {
                match unsent {
                    Unsent::Rejected(rejection) => {
                        desk.rejected(id, command.clone(), rejection.clone())
                    }
                    Unsent::Failed { reason, .. } => desk.suspend_id(id, reason.clone()),
                }
            }
        })
        .await
    }

    /// Records which commands were accepted.
    async fn record(&self, in_flight: &mut InFlight) -> Result<(), Ended> {
        in_flight.record_at = None;
        let ids = self.exchange.unrecorded(RECORD_BATCH);
        if ids.is_empty() {
            return Ok(());
        }
        if ids.len() == RECORD_BATCH {
            in_flight.record_at = Some(Instant::now());
        }
        self.change(&ids, |_| ()).await
    }

    /// Changes instances in one transaction. Repeats it until the store answers.
    pub(super) async fn change<T: Send>(
        &self,
        ids: &[String],
        work: impl Fn(&mut Desk<'_, M>) -> T + Send + Sync,
    ) -> Result<T, Ended> {
        loop {
            match self.try_change(ids, &work).await {
                Ok(answer) => return Ok(answer),
                Err(LeaseError::Lost) => return Err(Ended),
                Err(LeaseError::Store(error)) => {
                    let partition = &self.lease.partition;
                    tracing::warn!(%partition, %error, "changing instances failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn try_change<T: Send>(
        &self,
        ids: &[String],
        work: &(impl Fn(&mut Desk<'_, M>) -> T + Send + Sync),
    ) -> Result<T, LeaseError> {
        let read = &self.shared.read;
        let mut tx = read.begin(&self.lease).await?;
        let instances = read.instances_in(&mut tx, ids).await?;
        let (number, recorded) = (self.exchange.number(), self.exchange.accepted(ids));
        let now = self.shared.clock.now();
        let (answer, instances) = {
            let propagated = |cause: &Metadata| self.app.propagated(cause);
            let destinations = &*self.destinations;
            let mut desk = Desk::new(&*self.manager, destinations, &propagated, now, instances);
            desk.accepted(&recorded);
            (work(&mut desk), desk.finish())
        };
        read.keep(&mut tx, &instances).await?;
        self.commit(tx).await?;
        self.exchange.committed(Changed { number, instances, recorded });
        Ok(answer)
    }

    async fn commit(&self, tx: S::Transaction) -> Result<(), LeaseError> {
        // Position 0 does not move the checkpoint.
        match self.shared.read.commit(tx, &self.lease, Position::START).await {
            Ok(()) => Ok(()),
            Err(CommitError::Lost) => Err(LeaseError::Lost),
            Err(CommitError::Failed(error)) => {
                let kind = crate::StoreErrorKind::Internal;
                Err(StoreError::new(kind, error.to_string()).into())
            }
            Err(CommitError::Unknown(error)) => {
                tracing::warn!(partition = %self.lease.partition, %error, "outcome of commit unknown");
                Err(LeaseError::Lost)
            }
        }
    }
}

/// Sends the commands of an instance in order, until one is not accepted.
async fn send_commands(
    app: App,
    actor: String,
    destinations: Arc<Destinations>,
    deadline: Duration,
    mut instance: Instance,
    is_new: bool,
) -> Completed {
    let mut accepted = Vec::new();
    let mut commands = std::mem::take(&mut instance.commands).into_iter();
    while let Some(command) = commands.next() {
        let sent = async {
            if command.revoked {
                destinations.revoke(&app, &command).await
            } else {
                destinations.send(&app, &actor, &command, deadline, is_new).await
            }
        };
        let sent = AssertUnwindSafe(sent).catch_unwind().await;
        match sent.unwrap_or_else(|panic| Err(Unsent::panicked(&panic_message(&*panic)))) {
            Ok(()) => accepted.push(command.id),
            Err(unsent) => {
                instance.commands = std::iter::once(command.clone()).chain(commands).collect();
                return Completed { instance, accepted, failed: Some((command, unsent)) };
            }
        }
    }
    Completed { instance, accepted, failed: None }
}
