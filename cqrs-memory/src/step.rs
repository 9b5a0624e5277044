//! The points at which a store can fail.

use std::fmt;

use cqrs_core::store::StoreError;

/// A point in the work of the store, handed to the hook of
/// [`MemoryStoreBuilder::on_step`](crate::MemoryStoreBuilder::on_step).
///
/// A hook that returns an error there makes the store fail as a database would; one that panics
/// stands for a process that dies. The store stays usable either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Before anything is read: each page of events, the head, a stream's info, a listing, a
    /// command record, a snapshot, a state.
    BeforeRead,
    /// Before a valid append is compared with the log. Nothing of it will be stored.
    BeforeAppend,
    /// The append was accepted and is about to be stored. Its events, states and command record
    /// are stored in one go, so this is the point between them: none of them will be stored.
    DuringAppend,
    /// The append is stored, or was stored before and is recognised, and nobody has been told.
    /// An error becomes [`AppendError::OutcomeUnknown`](cqrs_core::store::AppendError::OutcomeUnknown).
    AfterAppend,
    /// Before commands are forgotten.
    BeforeForgetCommands,
    /// They are forgotten, and nobody has been told.
    AfterForgetCommands,
    /// Before a snapshot is kept.
    BeforeSaveSnapshot,
    /// It is kept, and nobody has been told.
    AfterSaveSnapshot,
    /// Before a snapshot is removed.
    BeforeDeleteSnapshot,
    /// It is removed, and nobody has been told.
    AfterDeleteSnapshot,
    /// Before a state without events is compared with the one that is there.
    BeforeSaveState,
    /// It is kept, and nobody has been told. An error becomes
    /// [`SaveStateError::OutcomeUnknown`](cqrs_core::store::SaveStateError::OutcomeUnknown).
    AfterSaveState,
    /// Before a subscription is claimed, its claim renewed or released, its checkpoint saved,
    /// reset or removed.
    BeforeCheckpoint,
    /// It is done, and nobody has been told.
    AfterCheckpoint,
    /// Of a read store: before a node says that it is alive.
    BeforeHeartbeat,
    /// Before a node leaves, a partition is leased, released, reported about, paused or resumed,
    /// before an event put aside is retried or discarded.
    BeforeLease,
    /// Before a transaction begins.
    BeforeProjection,
    /// The rows are written, the checkpoint is not: neither will be there.
    BeforeProjectionCommit,
    /// Both are there, and nobody has been told.
    AfterProjectionCommit,
    /// Before a generation is swapped in or given up.
    BeforeSwap,
    /// It is swapped in, or not, and nobody has been told.
    AfterSwap,
}

/// What is called at each step, never while the store is locked.
pub(crate) type Hook = Box<dyn Fn(Step) -> Result<(), StoreError> + Send + Sync>;

/// The hook, if there is one.
#[derive(Default)]
pub(crate) struct Hooks(pub(crate) Option<Hook>);

impl Hooks {
    pub(crate) fn at(&self, step: Step) -> Result<(), StoreError> {
        self.0.as_ref().map_or(Ok(()), |hook| hook(step))
    }

    pub(crate) const fn are_set(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.are_set() { "set" } else { "none" })
    }
}
