//! What the two halves of a process tell each other in memory, so that they need not ask the store.
//!
//! Invariants:
//! - That a command was accepted is a fact of the log: what is lost here is found out again.
//! - No instance comes back as it was before a command of it was refused: sent again, that command
//!   could be accepted. Transactions of a lease exclude each other, so numbers taken within them
//!   are in the order of their commits, and news that comes late counts for nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::records::Instance;
use crate::{CommandId, Timestamp};

/// How many instances are kept in mind; what is beyond is asked for again.
const MOST: usize = 4_096;

/// What a transaction changes.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Taken within it.
    pub(super) number: u64,
    pub(super) instances: Vec<Instance>,
    /// Of what was accepted.
    pub(super) recorded: Vec<(String, CommandId)>,
}

#[derive(Debug, Default)]
pub(super) struct Exchange {
    inner: Mutex<Inner>,
    /// Told of each commit.
    pub(super) news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Instances with commands to be sent, and whether those were just decided.
    waiting: HashMap<String, (Instance, bool)>,
    /// In which order.
    order: VecDeque<String>,
    /// There were more, or news came late: the store knows.
    left_out: bool,
    /// The number taken last, and that of the newest news.
    numbers: (u64, u64),
    /// Commands that were accepted, which is not on record yet.
    accepted: HashMap<String, Vec<CommandId>>,
    /// When the next timer is due that was started since it was asked for.
    next_due: Option<Timestamp>,
}

impl Exchange {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics under it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything, as a new lease begins.
    pub(super) fn clear(&self) {
        let mut inner = self.inner();
        let numbers = (inner.numbers.0, inner.numbers.0);
        *inner = Inner { numbers, ..Inner::default() };
    }

    /// Commands that were accepted, by instance, to be recorded with the next change.
    pub(super) fn accepted(&self, instances: &[String]) -> Vec<(String, CommandId)> {
        let inner = self.inner();
        let mut found = Vec::new();
        for id in instances {
            let commands = inner.accepted.get(id).into_iter().flatten();
            found.extend(commands.map(|command| (id.clone(), *command)));
        }
        found
    }

    /// Instances with something accepted that is not on record.
    pub(super) fn unrecorded(&self, limit: usize) -> Vec<String> {
        self.inner().accepted.keys().take(limit).cloned().collect()
    }

    /// Notes that a command was accepted.
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

    /// A number for a transaction that has begun.
    pub(super) fn number(&self) -> u64 {
        let mut inner = self.inner();
        inner.numbers.0 += 1;
        inner.numbers.0
    }

    /// Instances as they were just committed, and what was recorded with them.
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
        self.news.notify_one();
    }

    /// Instances as the store had them some time ago.
    pub(super) fn looked(&self, instances: Vec<Instance>) {
        let mut inner = self.inner();
        inner.left_out = false;
        for instance in instances {
            inner.put(instance, false);
        }
    }

    /// An instance that was taken and is to be tried again.
    pub(super) fn put_back(&self, instance: Instance) {
        self.inner().put(instance, false);
    }

    /// The next instance that is free to have a command sent, and whether its commands were just
    /// decided, so that most probably nobody has sent them before.
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

    /// Whether instances were left out that the store knows.
    pub(super) fn has_left_out(&self) -> bool {
        let inner = self.inner();
        inner.left_out && inner.waiting.len() < MOST / 2
    }

    /// When the next timer is due that was started since this was asked last.
    pub(super) fn take_next_due(&self) -> Option<Timestamp> {
        self.inner().next_due.take()
    }
}

impl Inner {
    fn put(&mut self, mut instance: Instance, is_news: bool) {
        if let Some(accepted) = self.accepted.get(&instance.id) {
            instance.commands.retain(|command| !accepted.contains(&command.id));
        }
        let is_known = self.waiting.contains_key(&instance.id);
        if is_known && !is_news {
            return;
        }
        if !instance.is_busy() {
            self.waiting.remove(&instance.id);
        } else if is_known || self.waiting.len() < MOST {
            // It may stand there twice, which costs a look.
            if !is_known {
                self.order.push_back(instance.id.clone());
            }
            self.waiting.insert(instance.id.clone(), (instance, is_news));
        } else {
            self.left_out = true;
        }
    }
}

/// The earlier of two moments, if there is one.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
