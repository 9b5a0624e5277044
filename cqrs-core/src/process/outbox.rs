//! What instances lead to, done: commands are sent and their answers recorded, timers go off,
//! operators are heard.
//!
//! Invariants:
//! - A command is sent only after the transaction that decided it.
//! - A rejection is recorded in one transaction with what is done about it, so a follow-up is sent
//!   only after that, and a command that is sent again was not refused before. That one was
//!   accepted stands in the log; it is recorded with the next change of its instance, or soon.
//! - A timer goes off when every event has been taken in that was in the log when it was seen to be
//!   due: what happened in time cancels it, however late that is noticed.
//! - Commands of one instance are sent in order, one at a time; a slow instance delays no other.
//! - Commands run in tasks of their own: what holds one of them up, such as a connection, may be
//!   what the outbox itself waits for.
//! - Whoever is not sure of a commit ends; the next lease finds out.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::desk::{CROWDED, Desk};
use super::destinations::{Destinations, Unsent};
use super::exchange::{Changed, Exchange, earlier};
use super::manager::ProcessManager;
use super::options::ProcessOptions;
use super::records::{Instance, OutgoingCommand, PendingWork};
use super::store::ProcessStore;
use crate::panics::panic_message;
use crate::projection::runtime::{Control, Shared};
use crate::projection::{CommitError, LeaseError, PartitionLease};
use crate::{App, CommandId, Position, Retry, StoreError, Timestamp};

/// How many instances are asked for at once, for each that may have a command on its way.
const LOOK_AHEAD: usize = 4;
/// How long it may take until it is recorded that a command was accepted, unless its instance
/// changes before.
const SOON: Duration = Duration::from_millis(50);
/// How many instances are changed at once for that.
const AT_ONCE: usize = 1_000;
/// How soon it is looked again whether the process has caught up.
const MOMENT: Duration = Duration::from_millis(2);

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

/// The lease is lost, or nobody knows whether a commit took place.
pub(super) struct Ended;

/// What became of the commands of an instance.
struct Flight {
    /// With the commands that did not arrive.
    instance: Instance,
    accepted: Vec<CommandId>,
    stopped: Option<(OutgoingCommand, Unsent)>,
}

/// What is on its way, and what is left alone for a while.
#[derive(Default)]
struct Sky {
    flights: JoinSet<Flight>,
    flying: HashSet<String>,
    /// Operators ask for something about them.
    asked: HashSet<String>,
    pauses: HashMap<CommandId, ExponentialBackoff>,
    until: HashMap<String, Instant>,
    /// When it is recorded what was accepted.
    record_at: Option<Instant>,
    /// The head of the log when timers were seen to be due.
    horizon: Option<Position>,
}

/// What was found out by a look.
struct Looked {
    next_due: Option<Timestamp>,
    /// When to look again.
    pause: Duration,
}

impl<S: ProcessStore, M: ProcessManager> Outbox<S, M> {
    /// Works until the lease is lost.
    pub(super) async fn run(mut self) {
        self.exchange.clear();
        let _: Result<(), Ended> = self.work().await;
    }

    async fn work(&mut self) -> Result<(), Ended> {
        let mut sky = Sky::default();
        let (mut look_at, mut next_due) = (Instant::now(), None);
        loop {
            let control = *self.control.borrow_and_update();
            // Before everything is caught up with, nobody knows what was answered long ago.
            let works = control.live && !control.paused && !control.stop;
            let mut wake_at = Instant::now() + self.shared.poll_interval;
            if works {
                next_due = earlier(next_due, self.exchange.take_next_due());
                let now = self.shared.clock.now();
                let is_due = next_due.is_some_and(|due| due <= now);
                if is_due || look_at <= Instant::now() || self.exchange.has_left_out() {
                    let looked = self.look(now, &mut sky).await?;
                    next_due = looked.next_due;
                    look_at = Instant::now() + looked.pause;
                }
                if let Some(due) = next_due {
                    wake_at = wake_at.min(Instant::now() + due.since(self.shared.clock.now()));
                }
                self.take_off(&mut sky);
                wake_at = wake_at.min(look_at);
            }
            if sky.record_at.is_some_and(|at| at <= Instant::now()) {
                self.record(&mut sky).await?;
            }
            let timed = sky.until.values().chain(&sky.record_at).min();
            let wake_at = timed.map_or(wake_at, |at| wake_at.min(*at));
            tokio::select! {
                Some(landed) = sky.flights.join_next() => {
                    let mut landed = vec![landed];
                    while let Some(more) = sky.flights.try_join_next() {
                        landed.push(more);
                    }
                    // Nobody aborts them but by ending the outbox, and they do not panic.
                    let landed: Vec<Flight> = landed.into_iter().flatten().collect();
                    for flight in &landed {
                        sky.flying.remove(&flight.instance.id);
                    }
                    self.land(landed, &mut sky).await?;
                }
                () = self.exchange.news.notified() => {}
                // Each heartbeat, and what operators ask for.
                changed = self.control.changed() => {
                    changed.map_err(|_| Ended)?;
                    look_at = Instant::now();
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    /// Asks the store what there is to do.
    async fn look(&self, now: Timestamp, sky: &mut Sky) -> Result<Looked, Ended> {
        let later = self.shared.poll_interval;
        let process = &self.lease.partition.consumer;
        let limit = sky.flying.len() + self.options.in_flight * LOOK_AHEAD;
        let PendingWork { mut busy, mut due, next_due, requests } =
            match self.shared.read.pending_work(process, now, limit).await {
                Ok(pending) => pending,
                Err(error) => {
                    tracing::warn!(partition = %self.lease.partition, %error, "pending unknown");
                    return Ok(Looked { next_due: None, pause: later });
                }
            };
        // What an operator asks about is sent when it was looked at again: an instance that was
        // ended has nothing to send any more.
        sky.asked = requests.iter().map(|request| request.instance.clone()).collect();
        let is_crowded = |id: &String| {
            busy.iter().any(|instance| instance.id == *id && instance.commands.len() >= CROWDED)
        };
        due.retain(|id| !is_crowded(id));
        busy.retain(|instance| !sky.asked.contains(&instance.id));
        self.exchange.looked(busy);
        let heard = self.hear(&requests, &sky.flying, &mut sky.asked).await?;
        let mut pause = if heard { Duration::ZERO } else { later };
        if due.is_empty() {
            sky.horizon = None;
        } else if self.has_taken_in(sky).await {
            self.settle(&due, |desk| due.iter().for_each(|id| desk.time_out(id))).await?;
            sky.horizon = None;
            pause = Duration::ZERO;
        } else {
            pause = pause.min(MOMENT);
        }
        Ok(Looked { next_due, pause })
    }

    /// Whether everything was taken in that had happened when timers were seen to be due.
    async fn has_taken_in(&self, sky: &mut Sky) -> bool {
        if sky.horizon.is_none() {
            sky.horizon = self.shared.head().await.ok();
        }
        let cursor = self.shared.cursor(&self.lease.partition);
        sky.horizon.is_some_and(|head| cursor >= Some(head))
    }

    fn take_off(&self, sky: &mut Sky) {
        let now = Instant::now();
        sky.until.retain(|_, until| *until > now);
        while sky.flights.len() < self.options.in_flight {
            let Sky { flying, asked, until, .. } = &*sky;
            let is_free =
                |id: &str| !(flying.contains(id) || asked.contains(id) || until.contains_key(id));
            let Some((instance, is_new)) = self.exchange.take(is_free) else { break };
            sky.flying.insert(instance.id.clone());
            let (app, actor) = (self.app.clone(), self.actor.clone());
            let (destinations, deadline) = (Arc::clone(&self.destinations), self.options.deadline);
            sky.flights.spawn(fly(app, actor, destinations, deadline, instance, is_new));
        }
    }

    /// Takes note of what was answered.
    async fn land(&self, landed: Vec<Flight>, sky: &mut Sky) -> Result<(), Ended> {
        let mut outcomes = Vec::new();
        for Flight { instance, accepted, stopped } in landed {
            for id in &accepted {
                sky.pauses.remove(id);
            }
            if !accepted.is_empty() {
                self.exchange.accept(&instance.id, &accepted);
                sky.record_at.get_or_insert_with(|| Instant::now() + SOON);
            }
            let Some((command, unsent)) = stopped else { continue };
            if let Unsent::Failed { reason, retry } = &unsent
                && *retry != Retry::Never
            {
                let pauses = sky.pauses.entry(command.id);
                if let Some(pause) = pauses.or_insert_with(|| self.options.pauses_between()).next()
                {
                    let id = instance.id.clone();
                    tracing::warn!(instance = id, ?pause, reason, "a command is sent again");
                    sky.until.insert(id, Instant::now() + pause);
                    self.exchange.put_back(instance);
                    continue;
                }
                sky.pauses.remove(&command.id);
            }
            outcomes.push((instance.id, command, unsent));
        }
        if outcomes.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = outcomes.iter().map(|(id, ..)| id.clone()).collect();
        self.settle(&ids, |desk| {
            for (id, command, unsent) in &outcomes {
                match unsent {
                    Unsent::Rejected(rejection) => {
                        desk.refused(id, command.clone(), rejection.clone())
                    }
                    Unsent::Failed { reason, .. } => desk.give_up(id, reason.clone()),
                }
            }
        })
        .await
    }

    /// Records what was accepted.
    async fn record(&self, sky: &mut Sky) -> Result<(), Ended> {
        sky.record_at = None;
        let ids = self.exchange.unrecorded(AT_ONCE);
        if ids.is_empty() {
            return Ok(());
        }
        if ids.len() == AT_ONCE {
            sky.record_at = Some(Instant::now());
        }
        self.settle(&ids, |_| ()).await
    }

    /// Changes instances in one transaction, however often the store has to be asked.
    pub(super) async fn settle<T: Send>(
        &self,
        ids: &[String],
        work: impl Fn(&mut Desk<'_, M>) -> T + Send + Sync,
    ) -> Result<T, Ended> {
        loop {
            match self.try_settle(ids, &work).await {
                Ok(answer) => return Ok(answer),
                Err(LeaseError::Lost) => return Err(Ended),
                Err(LeaseError::Store(error)) => {
                    tracing::warn!(partition = %self.lease.partition, %error, "not recorded yet");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn try_settle<T: Send>(
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
            let mut desk = Desk::new(&*self.manager, &self.destinations, now, instances);
            desk.accepted(&recorded);
            (work(&mut desk), desk.finish())
        };
        read.keep(&mut tx, &instances).await?;
        self.commit(tx).await?;
        self.exchange.committed(Changed { number, instances, recorded });
        Ok(answer)
    }

    async fn commit(&self, tx: S::Transaction) -> Result<(), LeaseError> {
        // The checkpoint stays where it is.
        match self.shared.read.commit(tx, &self.lease, Position::START).await {
            Ok(()) => Ok(()),
            Err(CommitError::Lost) => Err(LeaseError::Lost),
            Err(CommitError::Failed(error)) => {
                let kind = crate::StoreErrorKind::Internal;
                Err(StoreError::new(kind, error.to_string()).into())
            }
            Err(CommitError::Unknown(error)) => {
                tracing::warn!(partition = %self.lease.partition, %error, "commit unknown");
                Err(LeaseError::Lost)
            }
        }
    }
}

/// Sends the commands of an instance, one behind the other, until one is not accepted.
async fn fly(
    app: App,
    actor: String,
    destinations: Arc<Destinations>,
    deadline: Duration,
    mut instance: Instance,
    is_new: bool,
) -> Flight {
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
                return Flight { instance, accepted, stopped: Some((command, unsent)) };
            }
        }
    }
    Flight { instance, accepted, stopped: None }
}
