//! The handle to a store in memory, and its builder.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cqrs_core::{
    Timestamp,
    app::{Clock, SystemClock},
    store::StoreError,
};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::contents::Contents;
use crate::step::{Hooks, Step};

/// An event store, snapshot store, state store and checkpoint store in memory.
///
/// A clone is another handle to the same store; each call of [`new`](Self::new) creates an
/// independent one. Appends and reads never block, but they occasionally yield to other tasks, as
/// calls over a network do.
///
/// ```
/// use cqrs_core::store::{Append, Read};
/// use cqrs_core::{EventStore, EventStoreExt, ExpectedVersion, StreamName, event::NewEvent};
/// use cqrs_memory::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let cart = StreamName::new("cart-1")?;
/// let added = NewEvent::json("cart.added", "sku-7")?;
/// store.append(Append::to(cart.clone(), ExpectedVersion::NoStream, vec![added])).await?;
///
/// let same = store.clone();
/// assert_eq!(same.read(Read::stream(cart)).await?.collect().await?.len(), 1);
///
/// store.reset();
/// assert_eq!(same.head().await?.get(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

/// Invariant: no user code runs while the lock is held: no hook, no clock, no drop of a payload.
/// Therefore nothing can panic under the lock or use the store recursively.
struct Shared {
    contents: RwLock<Contents>,
    /// Notified after each append that stores events.
    grown: Notify,
    clock: Box<dyn Clock>,
    hooks: Hooks,
}

impl MemoryStore {
    /// Creates an empty store that uses the system clock.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a store with another clock or a hook that injects failures.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::default()
    }

    pub(crate) fn from_parts(clock: Box<dyn Clock>, hooks: Hooks) -> Self {
        let (contents, grown) = (RwLock::default(), Notify::new());
        Self { shared: Arc::new(Shared { contents, grown, clock, hooks }) }
    }

    /// Removes everything: events, commands, snapshots, states and checkpoints.
    ///
    /// The next event gets position 1 again, so restart all subscriptions afterwards.
    pub fn reset(&self) {
        let old = std::mem::take(&mut *self.contents_mut());
        // Dropped without the lock: see the invariant of `Shared`.
        drop(old);
    }

    // The lock is never poisoned, because nothing panics under it.
    pub(crate) fn contents(&self) -> RwLockReadGuard<'_, Contents> {
        self.shared.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn contents_mut(&self) -> RwLockWriteGuard<'_, Contents> {
        self.shared.contents.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.shared.hooks
    }

    pub(crate) fn wake_head_waiters(&self) {
        self.shared.grown.notify_waiters();
    }

    pub(crate) fn grown(&self) -> Notified<'_> {
        self.shared.grown.notified()
    }
}

/// Builds a [`MemoryStore`] with another clock or a hook that injects failures.
///
/// ```
/// use cqrs_core::store::{Append, AppendError, StoreError, StoreErrorKind};
/// use cqrs_core::{EventStore, ExpectedVersion, StreamName, event::NewEvent};
/// use cqrs_memory::{MemoryStore, Step};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::builder()
///     .on_step(|step| match step {
///         Step::AfterAppend => Err(StoreError::new(StoreErrorKind::Unavailable, "cable cut")),
///         _ => Ok(()),
///     })
///     .build();
///
/// let added = NewEvent::json("cart.added", "sku-7")?;
/// let append = Append::to(StreamName::new("cart-1")?, ExpectedVersion::NoStream, vec![added]);
/// let error = store.append(append).await.unwrap_err();
/// assert!(matches!(error, AppendError::OutcomeUnknown(_)));
/// assert_eq!(store.head().await?.get(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct MemoryStoreBuilder {
    clock: Box<dyn Clock>,
    hooks: Hooks,
}

impl Default for MemoryStoreBuilder {
    fn default() -> Self {
        Self { clock: Box::new(SystemClock), hooks: Hooks::default() }
    }
}

impl MemoryStoreBuilder {
    /// Sets the clock for the times of events and leases. Default: the system clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the hook that runs at every [`Step`]. Default: none. A second hook replaces the first.
    ///
    /// The hook runs on the task that uses the store and never under its lock, so it can read from the
    /// store and write to it. If it returns an error, the step fails with that error.
    pub fn on_step(
        mut self,
        hook: impl Fn(Step) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks = Hooks(Some(Box::new(hook)));
        self
    }

    /// Creates an empty store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        MemoryStore::from_parts(self.clock, self.hooks)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("head", &self.contents().log.head())
            .field("clock", &self.shared.clock)
            .field("hooks", self.hooks())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, OnceLock, Weak};

    use bytes::Bytes;
    use cqrs_core::{
        CommandId, EventStore, ExpectedVersion, StreamName, Version,
        event::{NewEvent, Payload},
        store::{Append, CommandKey, Snapshot, SnapshotStore, State, StateStore},
    };

    use super::*;

    /// User code that records, each time it runs, whether the lock is free.
    #[derive(Clone, Default)]
    struct UserCode(Arc<Notes>);

    #[derive(Default)]
    struct Notes {
        store: OnceLock<Weak<Shared>>,
        was_free: Mutex<Vec<bool>>,
    }

    impl UserCode {
        fn run(&self) {
            if let Some(shared) = self.0.store.get().and_then(Weak::upgrade) {
                self.0.was_free.lock().unwrap().push(shared.contents.try_write().is_ok());
            }
        }

        /// Returns a payload that runs this code when its memory is freed.
        fn payload(&self) -> Payload {
            Payload::from_json(Bytes::from_owner(Memory(self.clone()))).unwrap()
        }
    }

    impl fmt::Debug for UserCode {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("UserCode")
        }
    }

    impl Clock for UserCode {
        fn now(&self) -> Timestamp {
            self.run();
            Timestamp::UNIX_EPOCH
        }
    }

    struct Memory(UserCode);

    impl AsRef<[u8]> for Memory {
        fn as_ref(&self) -> &[u8] {
            b"7"
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            self.0.run();
        }
    }

    #[tokio::test]
    async fn no_code_of_users_runs_under_the_lock() {
        let (clock, hook, memory) = (UserCode::default(), UserCode::default(), UserCode::default());
        let called = hook.clone();
        let store = MemoryStore::builder()
            .clock(clock.clone())
            .on_step(move |_| {
                called.run();
                Ok(())
            })
            .build();
        for code in [&clock, &hook, &memory] {
            code.0.store.set(Arc::downgrade(&store.shared)).unwrap();
        }

        let (name, row) = (StreamName::new("a-1").unwrap(), StreamName::new("row-1").unwrap());
        let append = |expected: ExpectedVersion| {
            let event = NewEvent::json("e", &1).unwrap();
            let event = NewEvent::raw(event.name, 1, memory.payload());
            let state = State::new("s", memory.payload());
            let key = CommandKey::new(CommandId::random(), &name, &memory.payload());
            Append::to(name.clone(), expected, vec![event]).with_state(state).with_command(key)
        };
        let (first, any) = (ExpectedVersion::NoStream, ExpectedVersion::Any);
        let repeated = append(first);
        store.append(repeated.clone()).await.unwrap();
        store.append(repeated).await.unwrap();
        store.append(append(first)).await.unwrap_err();
        store.append(append(any)).await.unwrap();
        let state = || State::new("s", memory.payload());
        for expected in [0, 0, 1] {
            let _ = store.save_state(&row, Version::new(expected), state()).await;
        }
        for _ in 0..2 {
            let (version, taken_at) = (Version::new(1), Timestamp::UNIX_EPOCH);
            let snapshot = Snapshot::new(name.clone(), version, "s", memory.payload(), taken_at);
            store.save_snapshot(snapshot).await.unwrap();
        }
        store.delete_snapshot(&name).await.unwrap();
        store.forget_commands(Timestamp::MAX).await.unwrap();
        store.reset();

        for (what, code, runs) in [("clock", clock, 3), ("hook", hook, 20), ("memory", memory, 10)]
        {
            let free = code.0.was_free.lock().unwrap();
            assert!(free.len() >= runs, "{what}: only {} runs", free.len());
            assert!(free.iter().all(|free| *free), "{what} ran under the lock: {free:?}");
        }
    }
}
