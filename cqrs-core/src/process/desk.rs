//! The instances that one transaction changes.
//!
//! Invariant: the result of a call to a process manager is applied completely or, if the call
//! fails, not at all. In that case the instance is suspended in the state before the call.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use uuid::Uuid;

use super::destinations::{Destinations, undeclared};
use super::effects::{Due, Effect, Effects, RejectedCommand, Rejection, Timeout};
use super::manager::{ProcessManager, Route, RouteKind};
use super::records::{Instance, InstanceStatus, OutgoingCommand, Timer};
use crate::panics::panic_message;
use crate::{
    CausationId, CommandId, CorrelationId, Metadata, Payload, Position, Recorded, Timestamp,
};

/// The namespace of derived command ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_8a57_2f0e_4b8e_9d55_6a0c_51d3_77b2);

/// The number of unanswered commands at which an instance's timers no longer fire.
pub(super) const MAX_COMMANDS_FOR_TIMERS: usize = 64;

/// Returns the headers that commands and timers inherit from the metadata of their cause.
pub(super) type Propagated<'a> = dyn Fn(&Metadata) -> BTreeMap<String, Value> + Sync + 'a;

/// The instances that one transaction loaded and changes.
pub(super) struct Desk<'m, M> {
    manager: &'m M,
    destinations: &'m Destinations,
    propagated: &'m Propagated<'m>,
    now: Timestamp,
    instances: BTreeMap<String, Instance>,
    touched: BTreeSet<String>,
}

/// The cause of effects.
struct Cause {
    /// Unique among the causes of the instance.
    seed: String,
    at: Timestamp,
    correlation_id: Option<CorrelationId>,
    causation_id: CausationId,
    headers: BTreeMap<String, Value>,
}

/// One of the events that an upcaster made of a stored event, and how it concerns an instance.
pub(super) type Part<'e, E> = (&'e Recorded<E>, RouteKind);

impl<'m, M: ProcessManager> Desk<'m, M> {
    pub(super) fn new(
        manager: &'m M,
        destinations: &'m Destinations,
        propagated: &'m Propagated<'m>,
        now: Timestamp,
        instances: Vec<Instance>,
    ) -> Self {
        let instances = instances.into_iter().map(|found| (found.id.clone(), found)).collect();
        Self { manager, destinations, propagated, now, instances, touched: BTreeSet::new() }
    }

    /// Returns the instances that changed.
    pub(super) fn finish(mut self) -> Vec<Instance> {
        let changed = self.touched.iter().filter_map(|id| self.instances.remove(id));
        changed.map(|instance| Instance { updated_at: self.now, ..instance }).collect()
    }

    /// Starts an instance without an event.
    pub(super) fn start_without_event(&mut self, id: &str, effects: impl Fn(Timestamp) -> Effects) {
        let Some(mut instance) = self.create(id, self.now, RouteKind::StartOrContinue) else {
            return;
        };
        let name = format!("{}\0{id}", M::NAME);
        let cause = Cause {
            seed: "start".to_owned(),
            at: self.now,
            correlation_id: None,
            causation_id: Uuid::new_v5(&NAMESPACE, name.as_bytes()).into(),
            headers: BTreeMap::new(),
        };
        match self.call(&mut instance, &cause, |_| effects(self.now)) {
            Ok(()) => self.keep(instance),
            Err(reason) => self.suspend(instance, reason),
        }
    }

    /// Returns `true` if an instance is not suspended and still has waiting events.
    pub(super) fn has_waiting(&self, id: &str) -> bool {
        let instance = self.instances.get(id);
        instance.is_some_and(|known| !known.is_suspended() && !known.waiting.is_empty())
    }

    /// Handles the parts of one stored event that concern an instance.
    pub(super) fn handle_event(&mut self, id: &str, parts: &[Part<'_, M::Event>]) {
        let Some((first, kind)) = parts.first() else { return };
        let known = self.instances.get(id).cloned();
        let is_known = known.is_some();
        let Some(mut instance) = known.or_else(|| self.create(id, first.recorded_at, *kind)) else {
            return;
        };
        match (&instance.status, kind) {
            (InstanceStatus::Ended, _) => {}
            (InstanceStatus::Suspended { .. }, _) => {
                instance.waiting.push(first.position);
                self.keep(instance);
            }
            (InstanceStatus::Running, RouteKind::Start) if is_known => {
                let reason = "`Route::start`: the instance already exists".to_owned();
                self.suspend_at(instance, first.position, reason);
            }
            (InstanceStatus::Running, RouteKind::ContinueExisting) if !is_known => {
                let reason = "`Route::continue_existing`: the instance does not exist".to_owned();
                self.suspend_at(instance, first.position, reason);
            }
            (InstanceStatus::Running, _) => self.handle(instance, parts),
        }
    }

    fn create(&self, id: &str, at: Timestamp, kind: RouteKind) -> Option<Instance> {
        if matches!(kind, RouteKind::End | RouteKind::ContinueIfStarted) {
            return None;
        }
        let (state, failed) = match Payload::encode(&M::State::default()) {
            Ok(state) => (state, None),
            Err(error) => (Payload::from_stored("null"), Some(error)),
        };
        let mut instance = Instance::new(id.to_owned(), state, M::STATE_VERSION, at);
        if let Some(error) = failed {
            let reason = format!("the default state cannot be encoded: {error}");
            instance.status = InstanceStatus::Suspended { reason };
        }
        Some(instance)
    }

    fn handle(&mut self, before: Instance, parts: &[Part<'_, M::Event>]) {
        let Some((first, _)) = parts.first() else { return };
        let mut after = before.clone();
        for (nth, (event, kind)) in parts.iter().enumerate() {
            let cause = Cause {
                seed: format!("{}.{nth}", event.position),
                at: event.recorded_at,
                correlation_id: event.metadata.correlation_id,
                causation_id: event.id.into(),
                headers: (self.propagated)(&event.metadata),
            };
            let manager = self.manager;
            let handled = self.call(&mut after, &cause, |state| {
                manager.apply(state, event);
                manager.react(state, event)
            });
            if let Err(reason) = handled {
                return self.suspend_at(before, first.position, reason);
            }
            if *kind == RouteKind::End && after.status == InstanceStatus::Running {
                end(&mut after);
            }
        }
        self.keep(after);
    }

    /// Handles a waiting event. Returns `true` if the next one may be handled.
    pub(super) fn handle_waiting(&mut self, id: &str, parts: &[Part<'_, M::Event>]) -> bool {
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

    /// Drops a waiting event that no longer concerns the instance.
    pub(super) fn skip_waiting(&mut self, id: &str, position: Position) {
        if let Some(mut instance) = self.instances.get(id).cloned() {
            instance.waiting.retain(|waiting| *waiting != position);
            self.keep(instance);
        }
    }

    /// Removes accepted commands from their instances.
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

    /// Handles the rejection of a command.
    pub(super) fn rejected(&mut self, id: &str, command: OutgoingCommand, rejection: Rejection) {
        let Some(before) = self.instances.get(id).cloned() else { return };
        // Its answer is already recorded.
        if before.commands.iter().all(|waiting| waiting.id != command.id) {
            return;
        }
        let cause = Cause {
            seed: command.id.to_string(),
            at: self.now,
            correlation_id: command.correlation_id,
            // A rejected command is not in the log, so its own cause becomes the cause of the
            // effects.
            causation_id: command.causation_id,
            headers: (self.propagated)(&Metadata {
                headers: command.headers.clone(),
                ..Metadata::default()
            }),
        };
        let mut after = before.clone();
        after.commands.retain(|waiting| waiting.id != command.id);
        let (manager, rejected) =
            (self.manager, RejectedCommand { command, rejection, at: self.now });
        let called = self.call(&mut after, &cause, |state| manager.on_rejected(state, &rejected));
        match called {
            Ok(()) => {
                // The operator can retry it.
                if after.is_suspended() {
                    after.commands.insert(0, rejected.command);
                }
                self.keep(after);
            }
            // The command stays and is sent again when an operator resumes the instance.
            Err(reason) => self.suspend(before, reason),
        }
    }

    /// Fires the timers of an instance that are due.
    pub(super) fn fire_timers(&mut self, id: &str) {
        let now = self.now;
        while let Some(before) = self.instances.get(id).cloned() {
            let due = before.timers.iter().filter(|timer| timer.due <= now);
            let next = due.min_by_key(|timer| timer.due).cloned();
            let may_fire = before.status == InstanceStatus::Running
                && before.commands.len() < MAX_COMMANDS_FOR_TIMERS;
            let Some(timer) = next.filter(|_| may_fire) else { return };
            let cause = Cause {
                seed: format!("{}@{}", timer.name, timer.due.as_micros()),
                at: now,
                correlation_id: timer.correlation_id,
                causation_id: timer.causation_id,
                headers: timer.headers.clone(),
            };
            let mut after = before.clone();
            after.timers.retain(|other| other.name != timer.name);
            let manager = self.manager;
            let timeout = Timeout { name: timer.name.clone(), due: timer.due, at: now };
            match self.call(&mut after, &cause, |state| manager.on_timeout(state, &timeout)) {
                Ok(()) => {
                    // The operator can retry it.
                    if after.is_suspended() {
                        after.timers.push(timer);
                    }
                    self.keep(after);
                }
                // The timer stays and fires again when an operator resumes the instance.
                Err(reason) => self.suspend(before, reason),
            }
        }
    }

    /// Suspends an instance if it exists.
    pub(super) fn suspend_id(&mut self, id: &str, reason: String) {
        if let Some(instance) = self.instances.get(id).cloned() {
            self.suspend(instance, reason);
        }
    }

    /// Resumes a suspended instance.
    pub(super) fn resume(&mut self, id: &str) {
        if let Some(mut instance) = self.instances.get(id).cloned()
            && instance.is_suspended()
        {
            instance.status = InstanceStatus::Running;
            self.keep(instance);
        }
    }

    /// Ends an instance on an operator's request.
    pub(super) fn end(&mut self, id: &str) {
        if let Some(mut instance) = self.instances.get(id).cloned() {
            end(&mut instance);
            instance.commands.clear();
            self.keep(instance);
        }
    }

    /// Calls the process manager with the state of an instance and applies the result. Returns the
    /// reason to suspend the instance if that fails.
    fn call(
        &self,
        instance: &mut Instance,
        cause: &Cause,
        function: impl FnOnce(&mut M::State) -> Effects,
    ) -> Result<(), String> {
        let call = AssertUnwindSafe(|| {
            let mut state = self.state(instance)?;
            let effects = function(&mut state);
            match Payload::encode(&state) {
                Ok(state) => Ok((state, effects)),
                Err(error) => Err(format!("the state cannot be encoded: {error}")),
            }
        });
        let (state, effects) = catch_unwind(call)
            .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic))))?;
        instance.state = state;
        instance.state_version = M::STATE_VERSION;
        self.perform(instance, effects, cause)
    }

    fn state(&self, instance: &Instance) -> Result<M::State, String> {
        let version = instance.state_version;
        let unread = |error: &dyn std::error::Error| {
            format!("the state of version {version} cannot be decoded: {error}")
        };
        if version > M::STATE_VERSION {
            let known = M::STATE_VERSION;
            return Err(format!("the state has version {version}, newer than the known {known}"));
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
        if let Some(error) = effects.unencodable {
            return Err(format!("a command cannot be encoded: {error}"));
        }
        for (index, effect) in effects.list.into_iter().enumerate() {
            match effect {
                Effect::Dispatch { category, command, metadata } => {
                    if !self.destinations.has(&category) {
                        return Err(undeclared(&category));
                    }
                    let name = format!("{}\0{}\0{}\0{index}", M::NAME, instance.id, cause.seed);
                    let mut headers = cause.headers.clone();
                    headers.extend(metadata.headers);
                    instance.commands.push(OutgoingCommand {
                        id: Uuid::new_v5(&NAMESPACE, name.as_bytes()).into(),
                        category: category.into_owned(),
                        command,
                        correlation_id: metadata.correlation_id.or(cause.correlation_id),
                        causation_id: cause.causation_id,
                        actor: metadata.actor,
                        headers,
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
                        headers: cause.headers.clone(),
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

    /// Suspends an instance with an event waiting.
    fn suspend_at(&mut self, mut instance: Instance, position: Position, reason: String) {
        // In front, because the events that are already waiting are later ones.
        instance.waiting.insert(0, position);
        self.suspend(instance, reason);
    }

    fn suspend(&mut self, mut instance: Instance, reason: String) {
        tracing::error!(process = M::NAME, instance = instance.id, reason, "instance suspended");
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

/// Routes the parts of one stored event: returns each instance with the parts that concern it, in
/// order.
pub(super) fn routes<'e, M: ProcessManager>(
    manager: &M,
    parts: &'e [Recorded<M::Event>],
) -> Vec<(String, Vec<Part<'e, M::Event>>)> {
    let mut routes: Vec<(String, Vec<_>)> = Vec::new();
    for event in parts {
        for Route { instance, kind } in manager.route(event) {
            match routes.iter_mut().find(|(known, _)| *known == instance) {
                Some((_, parts)) => parts.push((event, kind)),
                None => routes.push((instance, vec![(event, kind)])),
            }
        }
    }
    routes
}
