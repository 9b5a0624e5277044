//! Instances shared in memory between the two halves of a process, the projector and the outbox, so
//! that neither has to query the store for them.
//!
//! Invariants:
//! - An accepted command is recorded in the log, so anything lost here can be found again.
//! - An instance never returns to a state from before one of its commands was rejected: that
//!   command could be accepted if it were sent again. Transactions of a lease exclude each other,
//!   so numbers taken within them are in the order of their commits, and outdated changes are
//!   ignored.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::records::Instance;
use crate::{CommandId, Timestamp};

/// The maximum number of instances held in memory. Others are read from the store later.
const CAPACITY: usize = 4_096;

/// The changes of a transaction.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// The number taken within the transaction.
    pub(super) number: u64,
    pub(super) instances: Vec<Instance>,
    /// The accepted commands that the transaction recorded.
    pub(super) recorded: Vec<(String, CommandId)>,
}

#[derive(Debug, Default)]
pub(super) struct Exchange {
    inner: Mutex<Inner>,
    /// Notified after each commit.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// The instances with commands to send, and whether those commands are new.
    waiting: HashMap<String, (Instance, bool)>,
    /// The ids of the waiting instances in the order in which they are taken.
    order: VecDeque<String>,
    /// Instances were left out: there was no room, or a change was outdated.
    left_out: bool,
    /// The number taken last, and the number of the newest change.
    numbers: (u64, u64),
    /// The accepted commands that are not recorded yet.
    accepted: HashMap<String, Vec<CommandId>>,
    /// When the next timer is due, among those started since the last call of `take_next_due`.
    next_due: Option<Timestamp>,
}

impl Exchange {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code panics while holding the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears everything, at the start of a lease.
    pub(super) fn clear(&self) {
        let mut inner = self.inner();
        let numbers = (inner.numbers.0, inner.numbers.0);
        *inner = Inner { numbers, ..Inner::default() };
    }

    /// Returns the accepted commands of instances, to be recorded with the next change.
    pub(super) fn accepted(&self, instances: &[String]) -> Vec<(String, CommandId)> {
        let inner = self.inner();
        let mut found = Vec::new();
        for id in instances {
            let commands = inner.accepted.get(id).into_iter().flatten();
            found.extend(commands.map(|command| (id.clone(), *command)));
        }
        found
    }

    /// Returns instances with accepted commands that are not recorded.
    pub(super) fn unrecorded(&self, limit: usize) -> Vec<String> {
        self.inner().accepted.keys().take(limit).cloned().collect()
    }

    /// Adds accepted commands of an instance.
    pub(super) fn accept(&self, instance: &str, commands: &[CommandId]) {
        if commands.is_empty() {
            return;
        }
        let mut inner = self.inner();
        inner.accepted.entry(instance.to_owned()).or_default().extend(commands);
        if let Some((waiting, _)) = inner.waiting.get_mut(instance) {
            waiting.commands.retain(|command| !commands.contains(&command.id));
        }
    }

    /// Returns the number of a transaction that has begun.
    pub(super) fn number(&self) -> u64 {
        let mut inner = self.inner();
        inner.numbers.0 += 1;
        inner.numbers.0
    }

    /// Applies the changes of a committed transaction.
    pub(super) fn committed(&self, changed: Changed) {
        {
            let Changed { number, instances, recorded } = changed;
            let mut inner = self.inner();
            for (id, command) in &recorded {
                if let Some(accepted) = inner.accepted.get_mut(id) {
                    accepted.retain(|known| known != command);
                    if accepted.is_empty() {
                        inner.accepted.remove(id);
                    }
                }
            }
            if number > inner.numbers.1 {
                inner.numbers.1 = number;
                for instance in instances {
                    inner.next_due = earlier(inner.next_due, instance.next_due());
                    inner.put(instance, true);
                }
            } else {
                inner.left_out = true;
            }
        }
        self.changed.notify_one();
    }

    /// Adds instances that were read from the store, which may be outdated by now.
    pub(super) fn loaded(&self, instances: Vec<Instance>) {
        let mut inner = self.inner();
        inner.left_out = false;
        for instance in instances {
            inner.put(instance, false);
        }
    }

    /// Puts back an instance that was taken, so that it is retried.
    pub(super) fn put_back(&self, instance: Instance) {
        self.inner().put(instance, false);
    }

    /// Takes the next instance for which `is_free` returns `true`. Also returns whether its
    /// commands are new: most probably never sent before.
    pub(super) fn take(&self, is_free: impl Fn(&str) -> bool) -> Option<(Instance, bool)> {
        let mut inner = self.inner();
        for _ in 0..inner.order.len() {
            let id = inner.order.pop_front()?;
            if is_free(&id) {
                match inner.waiting.remove(&id) {
                    Some(taken) if taken.0.is_busy() => return Some(taken),
                    _ => {}
                }
            } else {
                inner.order.push_back(id);
            }
        }
        None
    }

    /// Returns `true` if there are instances in the store that were left out, and room for them.
    pub(super) fn has_left_out(&self) -> bool {
        let inner = self.inner();
        inner.left_out && inner.waiting.len() < CAPACITY / 2
    }

    /// Returns when the next timer is due, among those started since the last call.
    pub(super) fn take_next_due(&self) -> Option<Timestamp> {
        self.inner().next_due.take()
    }
}

impl Inner {
    fn put(&mut self, mut instance: Instance, is_new: bool) {
        if let Some(accepted) = self.accepted.get(&instance.id) {
            instance.commands.retain(|command| !accepted.contains(&command.id));
        }
        let is_known = self.waiting.contains_key(&instance.id);
        if is_known && !is_new {
            return;
        }
        if !instance.is_busy() {
            self.waiting.remove(&instance.id);
        } else if is_known || self.waiting.len() < CAPACITY {
            // A duplicate in `order` is skipped later.
            if !is_known {
                self.order.push_back(instance.id.clone());
            }
            self.waiting.insert(instance.id.clone(), (instance, is_new));
        } else {
            self.left_out = true;
        }
    }
}

/// Returns the earlier of two times.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
