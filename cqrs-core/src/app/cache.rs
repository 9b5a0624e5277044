//! Recently used aggregates, kept in memory.
//!
//! A cached state only saves reads: its version is the expected version of the append, so a stale
//! entry costs a conflict and never causes a wrong decision. Commands to one aggregate also wait
//! for each other at its entry, so that callers on this node do not conflict.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashlink::LinkedHashMap;

use crate::{Clock, Loaded, StreamName, Timestamp};

/// How many aggregates stay in memory, and for how long.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use cqrs_core::{App, app::CachePolicy};
/// use cqrs_memory::MemoryStore;
///
/// let policy = CachePolicy::default().capacity(50_000).idle(Duration::from_secs(60));
/// let app = App::builder(MemoryStore::new()).cache(policy).build()?;
/// app.dispatch(deposit("alice", 500)).await?;
/// // Decided on the cached state, without reading:
/// app.dispatch(withdraw("alice", 500)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachePolicy {
    /// The maximum number of aggregates. The one whose last command is the oldest is removed
    /// first. 0 turns the cache off. Default: 10,000.
    pub capacity: usize,
    /// How long an aggregate stays in memory after its last command. Default: 5 minutes.
    pub idle: Duration,
}

impl Default for CachePolicy {
    /// 10,000 aggregates, each for 5 minutes.
    fn default() -> Self {
        Self { capacity: 10_000, idle: Duration::from_secs(300) }
    }
}

impl CachePolicy {
    /// Turns the cache off: each command reads its aggregate from the store.
    #[must_use]
    pub const fn off() -> Self {
        Self { capacity: 0, idle: Duration::ZERO }
    }

    /// Sets the maximum number of aggregates.
    #[must_use]
    pub const fn capacity(mut self, aggregates: usize) -> Self {
        self.capacity = aggregates;
        self
    }

    /// Sets how long an aggregate stays in memory after its last command.
    #[must_use]
    pub const fn idle(mut self, after: Duration) -> Self {
        self.idle = after;
        self
    }
}

/// Keeps the state of one aggregate between commands. A command takes it out and puts it back on
/// success, so a command that is dropped or panics leaves it empty.
pub(super) type Slot<A> = tokio::sync::Mutex<Option<Loaded<A>>>;

/// The number of slots if no states are kept: commands to one aggregate still take turns.
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

    /// Returns the slot of an aggregate. After an eviction, two callers may have different slots of
    /// one aggregate. They then do not wait for each other, and the append detects the conflict.
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
