//! What instances lead to, done: commands are sent and their answers recorded, timers go off,
//! operators are heard.
//!
//! Invariants:
//! - A command is sent only after the transaction that decided it.
//! - A refusal is recorded in one transaction with what is done about it, so a follow-up is sent
//!   only after that, and a command that is sent again was not refused before.
//! - Commands of one instance are sent in order, one at a time; a slow instance delays no other.
//! - Whoever is not sure of a commit ends; the next lease finds out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::desk::{Desk, routes};
use super::destinations::{Destinations, Unsent};
use super::manager::ProcessManager;
use super::options::ProcessOptions;
use super::records::{Instance, OutgoingCommand, Request, Todo, Wish};
use super::store::ProcessStore;
use crate::projection::runtime::{Control, Shared};
use crate::projection::{CommitError, Lease, LeaseError};
use crate::{App, CommandId, Position, ReadError, Recorded, Retry, StoreError, Timestamp};

/// How many instances are looked at, for each that may have a command on its way.
const LOOK_AHEAD: usize = 4;

pub(super) struct Outbox<S: ProcessStore, M> {
    pub(super) app: App,
    pub(super) shared: Arc<Shared<S>>,
    pub(super) lease: Lease,
    pub(super) control: watch::Receiver<Control>,
    pub(super) manager: Arc<M>,
    pub(super) destinations: Arc<Destinations>,
    pub(super) options: ProcessOptions,
    pub(super) actor: String,
}

/// The lease is lost, or nobody knows whether a commit took place.
struct Ended;

/// What became of the commands of an instance.
struct Flight {
    instance: String,
    accepted: Vec<CommandId>,
    stopped: Option<(OutgoingCommand, Unsent)>,
}

/// What was stored as one event.
type Parts<M> = Vec<Recorded<<M as ProcessManager>::Event>>;

/// Commands that are tried again later.
#[derive(Default)]
struct Resting {
    pauses: HashMap<CommandId, ExponentialBackoff>,
    until: HashMap<String, Instant>,
}

impl<S: ProcessStore, M: ProcessManager> Outbox<S, M> {
    /// Works until the lease is lost.
    pub(super) async fn run(mut self) {
        let _: Result<(), Ended> = self.work().await;
    }

    async fn work(&mut self) -> Result<(), Ended> {
        let mut flights: FuturesUnordered<BoxFuture<'static, Flight>> = FuturesUnordered::new();
        let mut busy: HashSet<String> = HashSet::new();
        let mut resting = Resting::default();
        let mut progressed = self.shared.progressed.subscribe();
        loop {
            progressed.borrow_and_update();
            let control = *self.control.borrow_and_update();
            let mut pause = self.shared.poll_interval;
            // Before everything is caught up with, nobody knows what was answered long ago.
            if control.live && !control.paused && !control.stop {
                let now = self.shared.clock.now();
                match self.todo(now, busy.len()).await {
                    Ok(mut todo) => {
                        // What an operator asks about is sent when it was looked at again: an
                        // instance that was ended has nothing to send any more.
                        let asked = |id: &String| todo.requests.iter().any(|r| r.instance == *id);
                        todo.busy.retain(|instance| !asked(&instance.id));
                        if self.hear(&todo.requests, &busy).await? {
                            pause = Duration::ZERO;
                        }
                        if !todo.due.is_empty() {
                            self.settle(&todo.due, |desk| {
                                todo.due.iter().for_each(|id| desk.time_out(id));
                            })
                            .await?;
                            continue;
                        }
                        if let Some(due) = todo.next_due {
                            pause = pause.min(due.since(now));
                        }
                        self.take_off(todo.busy, &mut flights, &mut busy, &mut resting);
                    }
                    Err(error) => {
                        tracing::warn!(partition = %self.lease.partition, %error, "todo unknown");
                    }
                }
            }
            if let Some(until) = resting.until.values().min() {
                pause = pause.min(until.saturating_duration_since(Instant::now()));
            }
            tokio::select! {
                Some(landed) = flights.next() => {
                    let mut landed = vec![landed];
                    while let Some(Some(more)) = flights.next().now_or_never() {
                        landed.push(more);
                    }
                    for flight in &landed {
                        busy.remove(&flight.instance);
                    }
                    self.land(landed, &mut resting).await?;
                }
                changed = progressed.changed() => changed.map_err(|_| Ended)?,
                changed = self.control.changed() => changed.map_err(|_| Ended)?,
                () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
            }
        }
    }

    async fn todo(&self, now: Timestamp, busy: usize) -> Result<Todo, StoreError> {
        let process = &self.lease.partition.projector;
        let limit = busy + self.options.in_flight * LOOK_AHEAD;
        self.shared.read.todo(process, now, limit).await
    }

    fn take_off(
        &self,
        instances: Vec<Instance>,
        flights: &mut FuturesUnordered<BoxFuture<'static, Flight>>,
        busy: &mut HashSet<String>,
        resting: &mut Resting,
    ) {
        let now = Instant::now();
        resting.until.retain(|_, until| *until > now);
        for instance in instances {
            if flights.len() >= self.options.in_flight {
                break;
            }
            if resting.until.contains_key(&instance.id) || !busy.insert(instance.id.clone()) {
                continue;
            }
            let (app, actor) = (self.app.clone(), self.actor.clone());
            let (destinations, deadline) = (Arc::clone(&self.destinations), self.options.deadline);
            flights.push(
                async move {
                    let mut accepted = Vec::new();
                    for command in instance.commands {
                        let sent = if command.revoked {
                            destinations.revoke(&app, &command).await
                        } else {
                            destinations.send(&app, &actor, &command, deadline).await
                        };
                        match sent {
                            Ok(()) => accepted.push(command.id),
                            Err(unsent) => {
                                let (instance, stopped) = (instance.id, Some((command, unsent)));
                                return Flight { instance, accepted, stopped };
                            }
                        }
                    }
                    Flight { instance: instance.id, accepted, stopped: None }
                }
                .boxed(),
            );
        }
    }

    /// Records what was answered.
    async fn land(&self, landed: Vec<Flight>, resting: &mut Resting) -> Result<(), Ended> {
        let mut outcomes = Vec::new();
        for Flight { instance, accepted, stopped } in landed {
            for id in &accepted {
                resting.pauses.remove(id);
            }
            let stopped = match stopped {
                Some((command, Unsent::Failed { reason, retry })) if retry != Retry::Never => {
                    let pauses = resting.pauses.entry(command.id);
                    match pauses.or_insert_with(|| self.options.pauses_between()).next() {
                        Some(pause) => {
                            tracing::warn!(instance, ?pause, reason, "a command is sent again");
                            resting.until.insert(instance.clone(), Instant::now() + pause);
                            None
                        }
                        None => {
                            resting.pauses.remove(&command.id);
                            Some((command, Unsent::Failed { reason, retry }))
                        }
                    }
                }
                stopped => stopped,
            };
            if !accepted.is_empty() || stopped.is_some() {
                outcomes.push((instance, accepted, stopped));
            }
        }
        if outcomes.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = outcomes.iter().map(|(id, ..)| id.clone()).collect();
        self.settle(&ids, |desk| {
            for (id, accepted, stopped) in &outcomes {
                accepted.iter().for_each(|command| desk.accepted(id, *command));
                match stopped {
                    Some((command, Unsent::Refused(refusal))) => {
                        desk.refused(id, command.clone(), refusal.clone());
                    }
                    Some((_, Unsent::Failed { reason, .. })) => desk.give_up(id, reason.clone()),
                    None => {}
                }
            }
        })
        .await
    }

    /// Changes instances in one transaction, however often the store has to be asked.
    async fn settle<T: Send>(
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
        let now = self.shared.clock.now();
        let (answer, changed) = {
            let mut desk = Desk::new(&*self.manager, &self.destinations, now, instances);
            (work(&mut desk), desk.finish())
        };
        read.keep(&mut tx, &changed).await?;
        self.commit(tx).await?;
        Ok(answer)
    }

    async fn commit(&self, tx: S::Transaction) -> Result<(), LeaseError> {
        // The checkpoint stays where it is.
        match self.shared.read.commit(tx, &self.lease, Position::START).await {
            Ok(()) => Ok(()),
            Err(CommitError::Lost) => Err(LeaseError::Lost),
            Err(CommitError::Refused(error)) => {
                let kind = crate::StoreErrorKind::Internal;
                Err(StoreError::new(kind, error.to_string()).into())
            }
            Err(CommitError::Unknown(error)) => {
                tracing::warn!(partition = %self.lease.partition, %error, "commit unknown");
                Err(LeaseError::Lost)
            }
        }
    }

    /// Does what operators ask for, and says whether it did something. What is on its way is left
    /// until it has landed.
    async fn hear(&self, requests: &[Request], busy: &HashSet<String>) -> Result<bool, Ended> {
        let mut done_some = false;
        for request in requests.iter().filter(|request| !busy.contains(&request.instance)) {
            let heard = match request.wish {
                Wish::End => {
                    let id = request.instance.clone();
                    self.settle(std::slice::from_ref(&id), |desk| desk.end(&id)).await?;
                    Ok(())
                }
                Wish::Retry => self.retry(&request.instance).await?,
            };
            let process = &self.lease.partition.projector;
            let forgotten = match heard {
                Ok(()) => {
                    let done = std::slice::from_ref(request);
                    self.shared.read.forget_requests(process, done).await.map_err(ReadError::from)
                }
                Err(error) => Err(error),
            };
            match forgotten {
                Ok(()) => done_some = true,
                Err(error) => tracing::warn!(
                    instance = request.instance, %error, "asked for, and not done yet"
                ),
            }
        }
        Ok(done_some)
    }

    /// The instance goes on, and takes in the events that wait.
    async fn retry(&self, id: &String) -> Result<Result<(), ReadError>, Ended> {
        loop {
            let events = match self.waiting(id).await {
                Ok(events) => events,
                Err(error) => return Ok(Err(error)),
            };
            let work = |desk: &mut Desk<'_, M>| {
                desk.resume(id);
                for (position, parts) in &events {
                    let routed = routes(&*self.manager, parts);
                    match routed.iter().find(|(instance, _)| instance == id) {
                        Some((_, parts)) if !desk.take_in_waiting(id, parts) => break,
                        Some(_) => {}
                        None => desk.skip_waiting(id, *position),
                    }
                }
                // More has come since they were read.
                let came_late = desk.has_waiting(id);
                if came_late {
                    desk.give_up(id, "is being retried".to_owned());
                }
                came_late
            };
            if !self.settle(std::slice::from_ref(id), work).await? {
                return Ok(Ok(()));
            }
        }
    }

    /// The events that an instance has yet to take in.
    async fn waiting(&self, id: &str) -> Result<Vec<(Position, Parts<M>)>, ReadError> {
        let process = &self.lease.partition.projector;
        let query = super::InstanceQuery::one(id);
        let found = self.shared.read.list_instances(process, &query).await?;
        let mut events = Vec::new();
        for position in found.iter().flat_map(|instance| &instance.waiting) {
            events.push((*position, self.shared.read_one::<M::Event>(*position).await?));
        }
        Ok(events)
    }
}
