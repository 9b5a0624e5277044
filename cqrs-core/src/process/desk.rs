//! What handlers lead to: instances before and after.
//!
//! Invariant: what a handler leads to is taken over whole or, when it fails, not at all; then the
//! instance stands as before it and waits.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use uuid::Uuid;

use super::destinations::Destinations;
use super::effects::{Due, Effect, Effects, RejectedCommand, Rejection, Timeout};
use super::manager::{How, ProcessManager, Route};
use super::records::{Instance, InstanceStatus, OutgoingCommand, Timer};
use crate::panics::panic_message;
use crate::{CausationId, CommandId, CorrelationId, Payload, Position, Recorded, Timestamp};

/// Under which the ids of commands are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_8a57_2f0e_4b8e_9d55_6a0c_51d3_77b2);

/// With so many commands that wait, an instance lets its timers wait too.
pub(super) const CROWDED: usize = 64;

/// Instances at hand.
pub(super) struct Desk<'m, M> {
    manager: &'m M,
    destinations: &'m Destinations,
    now: Timestamp,
    instances: BTreeMap<String, Instance>,
    touched: BTreeSet<String>,
}

/// What effects are because of.
struct Cause {
    /// Tells it from all other causes of the instance.
    seed: String,
    at: Timestamp,
    correlation_id: Option<CorrelationId>,
    causation_id: CausationId,
}

/// A part of a stored event, and how it concerns an instance.
pub(super) type Part<'e, E> = (&'e Recorded<E>, How);

impl<'m, M: ProcessManager> Desk<'m, M> {
    pub(super) fn new(
        manager: &'m M,
        destinations: &'m Destinations,
        now: Timestamp,
        instances: Vec<Instance>,
    ) -> Self {
        let instances = instances.into_iter().map(|found| (found.id.clone(), found)).collect();
        Self { manager, destinations, now, instances, touched: BTreeSet::new() }
    }

    /// The instances that changed.
    pub(super) fn finish(mut self) -> Vec<Instance> {
        let changed = self.touched.iter().filter_map(|id| self.instances.remove(id));
        changed.map(|instance| Instance { updated_at: self.now, ..instance }).collect()
    }

    /// An instance that begins without an event.
    pub(super) fn begin_without_event(&mut self, id: &str, effects: impl Fn(Timestamp) -> Effects) {
        let Some(mut instance) = self.begin(id, self.now, How::StartOrContinue) else { return };
        let name = format!("{}\0{id}", M::NAME);
        let cause = Cause {
            seed: "start".to_owned(),
            at: self.now,
            correlation_id: None,
            causation_id: Uuid::new_v5(&NAMESPACE, name.as_bytes()).into(),
        };
        match self.turn(&mut instance, &cause, |_| effects(self.now)) {
            Ok(()) => self.keep(instance),
            Err(reason) => self.attend(instance, reason),
        }
    }

    /// Whether an instance goes on with events still waiting.
    pub(super) fn has_waiting(&self, id: &str) -> bool {
        let instance = self.instances.get(id);
        instance.is_some_and(|known| !known.is_suspended() && !known.waiting.is_empty())
    }

    /// What was stored as one event, for one instance.
    pub(super) fn take_in(&mut self, id: &str, parts: &[Part<'_, M::Event>]) {
        let Some((first, how)) = parts.first() else { return };
        let known = self.instances.get(id).cloned();
        let is_known = known.is_some();
        let Some(mut instance) = known.or_else(|| self.begin(id, first.recorded_at, *how)) else {
            return;
        };
        match (&instance.status, how) {
            (InstanceStatus::Ended, _) => {}
            (InstanceStatus::Suspended { .. }, _) => {
                instance.waiting.push(first.position);
                self.keep(instance);
            }
            (InstanceStatus::Running, How::Start) if is_known => {
                self.wait(instance, first.position, "it was begun twice".to_owned());
            }
            (InstanceStatus::Running, How::ContinueExisting) if !is_known => {
                self.wait(instance, first.position, "it had not begun".to_owned());
            }
            (InstanceStatus::Running, _) => self.handle(instance, parts),
        }
    }

    fn begin(&self, id: &str, at: Timestamp, how: How) -> Option<Instance> {
        // What is not there cannot end, and nobody can join it.
        if matches!(how, How::End | How::ContinueIfStarted) {
            return None;
        }
        let (state, failed) = match Payload::encode(&M::State::default()) {
            Ok(state) => (state, None),
            Err(error) => (Payload::from_stored("null"), Some(error)),
        };
        let mut instance = Instance::new(id.to_owned(), state, M::STATE_VERSION, at);
        if let Some(error) = failed {
            let reason = format!("the state it begins with cannot be stored: {error}");
            instance.status = InstanceStatus::Suspended { reason };
        }
        Some(instance)
    }

    fn handle(&mut self, before: Instance, parts: &[Part<'_, M::Event>]) {
        let Some((first, _)) = parts.first() else { return };
        let mut after = before.clone();
        for (nth, (event, how)) in parts.iter().enumerate() {
            let cause = Cause {
                seed: format!("{}.{nth}", event.position),
                at: event.recorded_at,
                correlation_id: event.metadata.correlation_id,
                causation_id: event.id.into(),
            };
            let manager = self.manager;
            let handled = self.turn(&mut after, &cause, |state| {
                manager.apply(state, event);
                manager.react(state, event)
            });
            if let Err(reason) = handled {
                return self.wait(before, first.position, reason);
            }
            if *how == How::End && after.status == InstanceStatus::Running {
                end(&mut after);
            }
        }
        self.keep(after);
    }

    /// An event that had waited. Says whether the next one may be taken in.
    pub(super) fn take_in_waiting(&mut self, id: &str, parts: &[Part<'_, M::Event>]) -> bool {
        let Some((first, _)) = parts.first() else { return true };
        let Some(mut instance) = self.instances.get(id).cloned() else { return false };
        instance.waiting.retain(|waiting| *waiting != first.position);
        match instance.status {
            InstanceStatus::Running => self.handle(instance, parts),
            InstanceStatus::Ended => self.keep(instance),
            InstanceStatus::Suspended { .. } => return false,
        }
        self.instances.get(id).is_some_and(|instance| !instance.is_suspended())
    }

    /// An event that had waited and is of no concern to the instance any more.
    pub(super) fn skip_waiting(&mut self, id: &str, position: Position) {
        if let Some(mut instance) = self.instances.get(id).cloned() {
            instance.waiting.retain(|waiting| *waiting != position);
            self.keep(instance);
        }
    }

    /// Commands that were accepted.
    pub(super) fn accepted(&mut self, commands: &[(String, CommandId)]) {
        for (id, command) in commands {
            if let Some(mut instance) = self.instances.get(id).cloned()
                && instance.commands.iter().any(|waiting| waiting.id == *command)
            {
                instance.commands.retain(|waiting| waiting.id != *command);
                self.keep(instance);
            }
        }
    }

    /// A command that its aggregate refused.
    pub(super) fn refused(&mut self, id: &str, command: OutgoingCommand, rejection: Rejection) {
        let Some(before) = self.instances.get(id).cloned() else { return };
        // Its answer is on record.
        if before.commands.iter().all(|waiting| waiting.id != command.id) {
            return;
        }
        let cause = Cause {
            seed: command.id.to_string(),
            at: self.now,
            correlation_id: command.correlation_id,
            // A command that was refused is not in the log, so its own cause stands for it.
            causation_id: command.causation_id,
        };
        let mut after = before.clone();
        after.commands.retain(|waiting| waiting.id != command.id);
        let (manager, rejected) =
            (self.manager, RejectedCommand { command, rejection, at: self.now });
        let turn = self.turn(&mut after, &cause, |state| manager.on_rejected(state, &rejected));
        match turn {
            Ok(()) => {
                // For the operator to try again.
                if after.is_suspended() {
                    after.commands.insert(0, rejected.command);
                }
                self.keep(after);
            }
            // It stays: it is sent again when an operator says so.
            Err(reason) => self.attend(before, reason),
        }
    }

    /// Lets the timers of an instance go off that are due.
    pub(super) fn time_out(&mut self, id: &str) {
        let now = self.now;
        while let Some(before) = self.instances.get(id).cloned() {
            let due = before.timers.iter().filter(|timer| timer.due <= now);
            let next = due.min_by_key(|timer| timer.due).cloned();
            let runs = before.status == InstanceStatus::Running && before.commands.len() < CROWDED;
            let Some(timer) = next.filter(|_| runs) else { return };
            let cause = Cause {
                seed: format!("{}@{}", timer.name, timer.due.as_micros()),
                at: now,
                correlation_id: timer.correlation_id,
                causation_id: timer.causation_id,
            };
            let mut after = before.clone();
            after.timers.retain(|other| other.name != timer.name);
            let manager = self.manager;
            let timeout = Timeout { name: timer.name.clone(), due: timer.due, at: now };
            match self.turn(&mut after, &cause, |state| manager.on_timeout(state, &timeout)) {
                Ok(()) => {
                    // For the operator to try again.
                    if after.is_suspended() {
                        after.timers.push(timer);
                    }
                    self.keep(after);
                }
                // It goes off again when an operator says so.
                Err(reason) => self.attend(before, reason),
            }
        }
    }

    /// Leaves an instance to an operator.
    pub(super) fn give_up(&mut self, id: &str, reason: String) {
        if let Some(instance) = self.instances.get(id).cloned() {
            self.attend(instance, reason);
        }
    }

    /// Lets an instance go on that waited for an operator.
    pub(super) fn resume(&mut self, id: &str) {
        if let Some(mut instance) = self.instances.get(id).cloned()
            && instance.is_suspended()
        {
            instance.status = InstanceStatus::Running;
            self.keep(instance);
        }
    }

    /// Ends an instance for an operator.
    pub(super) fn end(&mut self, id: &str) {
        if let Some(mut instance) = self.instances.get(id).cloned() {
            end(&mut instance);
            instance.commands.clear();
            self.keep(instance);
        }
    }

    /// Calls handlers with the state of an instance and takes over what they lead to.
    fn turn(
        &self,
        instance: &mut Instance,
        cause: &Cause,
        handler: impl FnOnce(&mut M::State) -> Effects,
    ) -> Result<(), String> {
        let turn = AssertUnwindSafe(|| {
            let mut state = self.state(instance)?;
            let effects = handler(&mut state);
            match Payload::encode(&state) {
                Ok(state) => Ok((state, effects)),
                Err(error) => Err(format!("its state cannot be stored: {error}")),
            }
        });
        let (state, effects) = catch_unwind(turn)
            .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic))))?;
        instance.state = state;
        instance.state_version = M::STATE_VERSION;
        self.perform(instance, effects, cause)
    }

    fn state(&self, instance: &Instance) -> Result<M::State, String> {
        let unread = |error: &dyn std::error::Error| format!("its state cannot be read: {error}");
        let version = instance.state_version;
        if version > M::STATE_VERSION {
            return Err(format!("its state has version {version}, which is later than ours"));
        }
        if version == M::STATE_VERSION {
            return instance.state.decode().map_err(|error| unread(&error));
        }
        let old = instance.state.decode().map_err(|error| unread(&error))?;
        let new = self.manager.upcast(version, old).map_err(|error| unread(&*error))?;
        serde_json::from_value(new).map_err(|error| unread(&error))
    }

    fn perform(
        &self,
        instance: &mut Instance,
        effects: Effects,
        cause: &Cause,
    ) -> Result<(), String> {
        if let Some(error) = effects.broken {
            return Err(format!("a command cannot be stored: {error}"));
        }
        for (index, effect) in effects.list.into_iter().enumerate() {
            match effect {
                Effect::Dispatch { category, command } => {
                    if !self.destinations.has(&category) {
                        return Err(format!("`{category}` is not among the destinations"));
                    }
                    let name = format!("{}\0{}\0{}\0{index}", M::NAME, instance.id, cause.seed);
                    instance.commands.push(OutgoingCommand {
                        id: Uuid::new_v5(&NAMESPACE, name.as_bytes()).into(),
                        category: category.into_owned(),
                        command,
                        correlation_id: cause.correlation_id,
                        causation_id: cause.causation_id,
                        revoked: false,
                    });
                }
                Effect::StartTimer { name, due } => {
                    let due = match due {
                        Due::At(due) => due,
                        Due::After(after) => cause.at.plus(after),
                    };
                    instance.timers.retain(|timer| timer.name != name);
                    instance.timers.push(Timer {
                        name,
                        due,
                        correlation_id: cause.correlation_id,
                        causation_id: cause.causation_id,
                    });
                }
                Effect::CancelTimer { name } => instance.timers.retain(|timer| timer.name != name),
                Effect::Revoke { category } => {
                    let commands = instance.commands.iter_mut();
                    commands
                        .filter(|command| command.category == category)
                        .for_each(|command| command.revoked = true);
                }
                Effect::End => end(instance),
                Effect::Suspend { reason } => {
                    instance.status = InstanceStatus::Suspended { reason };
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, mut instance: Instance, position: Position, reason: String) {
        // In front: what waits already came later.
        instance.waiting.insert(0, position);
        self.attend(instance, reason);
    }

    fn attend(&mut self, mut instance: Instance, reason: String) {
        tracing::error!(process = M::NAME, instance = instance.id, reason, "needs suspended");
        instance.status = InstanceStatus::Suspended { reason };
        self.keep(instance);
    }

    fn keep(&mut self, instance: Instance) {
        self.touched.insert(instance.id.clone());
        self.instances.insert(instance.id.clone(), instance);
    }
}

fn end(instance: &mut Instance) {
    instance.status = InstanceStatus::Ended;
    instance.timers.clear();
    instance.waiting.clear();
}

/// How what was stored as one event concerns instances: each with the parts that do, in order.
pub(super) fn routes<'e, M: ProcessManager>(
    manager: &M,
    parts: &'e [Recorded<M::Event>],
) -> Vec<(String, Vec<Part<'e, M::Event>>)> {
    let mut routes: Vec<(String, Vec<_>)> = Vec::new();
    for event in parts {
        for Route { instance, how } in manager.route(event) {
            match routes.iter_mut().find(|(known, _)| *known == instance) {
                Some((_, parts)) => parts.push((event, how)),
                None => routes.push((instance, vec![(event, how)])),
            }
        }
    }
    routes
}
