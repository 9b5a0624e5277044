//! Recently used aggregates, kept in memory and never trusted.
//!
//! A cached state only saves reading: its version goes into the append as the expected one, so a
//! stale entry costs a conflict and never a wrong decision. The entry is also where commands to
//! one aggregate wait for each other, so that callers in this process do not conflict.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashlink::LinkedHashMap;

use crate::{Clock, Loaded, StreamName, Timestamp};

/// How many aggregates stay in memory, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachePolicy {
    /// At most this many; the least recently commanded goes first.
    pub capacity: usize,
    /// One that got no command for this long goes too.
    pub idle: Duration,
}

impl Default for CachePolicy {
    /// Ten thousand aggregates, five minutes.
    fn default() -> Self {
        Self { capacity: 10_000, idle: Duration::from_secs(300) }
    }
}

impl CachePolicy {
    /// No state is kept; every command reads its aggregate.
    #[must_use]
    pub const fn off() -> Self {
        Self { capacity: 0, idle: Duration::ZERO }
    }

    /// Keeps at most this many aggregates.
    #[must_use]
    pub const fn capacity(mut self, aggregates: usize) -> Self {
        self.capacity = aggregates;
        self
    }

    /// Keeps an aggregate for this long after its last command.
    #[must_use]
    pub const fn idle(mut self, after: Duration) -> Self {
        self.idle = after;
        self
    }
}

/// Where the state of one aggregate is kept between commands. Whoever works on it takes it out
/// and puts it back when all went well; a dropped or panicked command leaves nothing behind.
pub(super) type Slot<A> = tokio::sync::Mutex<Option<Loaded<A>>>;

/// When no states are kept, slots still are, so that commands to one aggregate take turns.
const SLOTS_WITHOUT_STATES: usize = 1_024;

#[derive(Debug)]
pub(super) struct Cache {
    policy: CachePolicy,
    clock: Arc<dyn Clock>,
    /// Least recently used first.
    slots: Mutex<LinkedHashMap<StreamName, Entry>>,
}

#[derive(Debug)]
struct Entry {
    slot: Arc<dyn Any + Send + Sync>,
    used_at: Timestamp,
}

impl Cache {
    pub(super) fn new(policy: CachePolicy, clock: Arc<dyn Clock>) -> Self {
        Self { policy, clock, slots: Mutex::default() }
    }

    pub(super) const fn keeps_states(&self) -> bool {
        self.policy.capacity > 0
    }

    /// The slot of an aggregate. Two callers may hold different slots of one aggregate after an
    /// eviction: they do not wait for each other then, and the store decides.
    pub(super) fn slot<A: Send + Sync + 'static>(&self, stream: &StreamName) -> Arc<Slot<A>> {
        let now = self.clock.now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, oldest)) = slots.front()
            && now.since(oldest.used_at) >= self.policy.idle
            && self.keeps_states()
        {
            slots.pop_front();
        }
        if let Some(entry) = slots.to_back(stream)
            && let Ok(slot) = Arc::clone(&entry.slot).downcast::<Slot<A>>()
        {
            entry.used_at = now;
            return slot;
        }
        let slot = Arc::new(Slot::<A>::default());
        slots.insert(stream.clone(), Entry { slot: slot.clone(), used_at: now });
        let most = if self.keeps_states() { self.policy.capacity } else { SLOTS_WITHOUT_STATES };
        while slots.len() > most {
            slots.pop_front();
        }
        slot
    }

    pub(super) fn len(&self) -> usize {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
