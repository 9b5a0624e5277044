//! The handle, and the event store behind it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use cqrs_core::{
    CommandId, EventStore, Position, StreamName, Timestamp, Version,
    app::Clock,
    store::{
        Append, AppendError, Appended, CommandRecord, LogRead, Page, Pages, ReadError, StoreError,
        StreamInfo, StreamListing, StreamQuery, StreamRead,
    },
};
use futures_util::stream;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use crate::append::Committed;
use crate::contents::Contents;
use crate::list::page_of;
use crate::log::Log;
use crate::read::{LogPages, StreamPages};
use crate::step::Hooks;
use crate::{MemoryStoreBuilder, Step};

/// An event store, snapshot store and state store in memory.
///
/// Cloning gives another handle to the same store. Appends and reads do not wait, but they give
/// way to other tasks now and then, as those of a store with a network do.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

/// Invariant: nobody else's code runs under the lock: no hook, no clock, no release of a payload.
/// So nothing panics there, and nothing waits there for the store itself.
struct Shared {
    contents: RwLock<Contents>,
    /// Told whenever the log has grown.
    grown: Notify,
    clock: Box<dyn Clock>,
    hooks: Hooks,
}

impl MemoryStore {
    /// An empty store on the machine's clock, apart from all others.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// An empty store with another clock or with faults.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::default()
    }

    pub(crate) fn from_parts(clock: Box<dyn Clock>, hooks: Hooks) -> Self {
        let (contents, grown) = (RwLock::default(), Notify::new());
        Self { shared: Arc::new(Shared { contents, grown, clock, hooks }) }
    }

    /// Empties the store: events, commands, snapshots, states, checkpoints. The next event is again at
    /// position 1, so what reads or subscribes meanwhile must begin anew.
    pub fn reset(&self) {
        let old = std::mem::take(&mut *self.contents_mut());
        // The lock is free: see the invariant of `Shared`.
        drop(old);
    }

    // A poisoned lock would mean a panic under it, which the invariant of `Shared` rules out.
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

    fn store(&self, append: Append) -> Result<Appended, AppendError> {
        self.hooks().at(Step::BeforeAppend)?;
        // Checked a second time below, because the hook runs without the lock.
        if self.hooks().are_set() && self.contents().check(&append)?.is_none() {
            self.hooks().at(Step::DuringAppend)?;
        }
        let now = self.now();
        let Committed { appended, replaced } = {
            let mut contents = self.contents_mut();
            if let Some(first) = contents.check(&append)? {
                return Ok(first);
            }
            contents.commit(append, now)
        };
        drop(replaced);
        if appended.position() > Position::START {
            self.tell_growth();
        }
        Ok(appended)
    }

    pub(crate) fn tell_growth(&self) {
        self.shared.grown.notify_waiters();
    }

    /// A read as a stream that ends with its first error.
    fn pages<At: Send + 'static>(
        &self,
        next: impl FnMut(&Log) -> Option<Result<Page<At>, ReadError>> + Send + 'static,
    ) -> Pages<At> {
        Box::pin(stream::unfold(Some((self.clone(), next)), |rest| async move {
            let (store, mut next) = rest?;
            consume_budget().await;
            let page = match store.hooks().at(Step::BeforeRead) {
                Ok(()) => next(&store.contents().log)?,
                Err(error) => Err(error.into()),
            };
            let rest = page.is_ok().then_some((store, next));
            Some((page, rest))
        }))
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        // The only point where the future can be dropped; nothing has happened yet.
        consume_budget().await;
        let appended = self.store(append)?;
        self.hooks().at(Step::AfterAppend).map_err(AppendError::OutcomeUnknown)?;
        Ok(appended)
    }

    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        let mut rest = StreamPages::new(read);
        self.pages(move |log| rest.next(log))
    }

    fn read_log(&self, read: LogRead) -> Pages<Position> {
        let mut rest = LogPages::new(read);
        self.pages(move |log| rest.next(log).map(Ok))
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().log.head())
    }

    async fn wait_for_head_after(&self, position: Position) {
        loop {
            // Listening starts before looking, so growth in between is not missed.
            let grown = self.shared.grown.notified();
            if self.contents().log.head() > position {
                return;
            }
            grown.await;
        }
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().log.info(stream))
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        let found = self.contents().log.search(&query.search);
        Ok(page_of(found, query))
    }

    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().commands.get(&id).cloned())
    }

    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.hooks().at(Step::BeforeForgetCommands)?;
        let forgotten = self.contents_mut().forget_commands(recorded_before);
        self.hooks().at(Step::AfterForgetCommands)?;
        Ok(forgotten)
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
        ExpectedVersion,
        event::{NewEvent, Payload},
        store::{CommandKey, Snapshot, SnapshotStore, State, StateStore},
    };

    use super::*;

    /// Somebody else's code: notes at each of its runs whether the lock is free.
    #[derive(Clone, Default)]
    struct Stranger(Arc<Notes>);

    #[derive(Default)]
    struct Notes {
        store: OnceLock<Weak<Shared>>,
        was_free: Mutex<Vec<bool>>,
    }

    impl Stranger {
        fn run(&self) {
            if let Some(shared) = self.0.store.get().and_then(Weak::upgrade) {
                self.0.was_free.lock().unwrap().push(shared.contents.try_write().is_ok());
            }
        }

        /// A payload whose memory it releases itself.
        fn payload(&self) -> Payload {
            Payload::from_json(Bytes::from_owner(Memory(self.clone()))).unwrap()
        }
    }

    impl fmt::Debug for Stranger {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Stranger")
        }
    }

    impl Clock for Stranger {
        fn now(&self) -> Timestamp {
            self.run();
            Timestamp::UNIX_EPOCH
        }
    }

    struct Memory(Stranger);

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
    async fn nobody_elses_code_runs_under_the_lock() {
        let (clock, hook, memory) = (Stranger::default(), Stranger::default(), Stranger::default());
        let called = hook.clone();
        let store = MemoryStore::builder()
            .clock(clock.clone())
            .on_step(move |_| {
                called.run();
                Ok(())
            })
            .build();
        for stranger in [&clock, &hook, &memory] {
            stranger.0.store.set(Arc::downgrade(&store.shared)).unwrap();
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

        for (what, stranger, runs) in
            [("clock", clock, 3), ("hook", hook, 20), ("memory", memory, 10)]
        {
            let free = stranger.0.was_free.lock().unwrap();
            assert!(free.len() >= runs, "{what}: only {} runs", free.len());
            assert!(free.iter().all(|free| *free), "{what} ran under the lock: {free:?}");
        }
    }
}
