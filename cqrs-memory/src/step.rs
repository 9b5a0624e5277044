//! The steps at which a test can make a store fail.

use std::fmt;

use cqrs_core::store::StoreError;

/// A step in the work of a store, at which a hook can make it fail.
///
/// Set the hook with [`MemoryStoreBuilder::on_step`](crate::MemoryStoreBuilder::on_step) or
/// [`MemoryReadStoreBuilder::on_step`](crate::MemoryReadStoreBuilder::on_step). If the hook returns
/// an error, the operation fails with it, as if a database had failed. If the hook panics, the task
/// ends there, as if its process had crashed. The store remains usable in both cases.
///
/// At a `Before` step nothing has happened. At an `After` step the change is stored, but the caller
/// has not received the result.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use cqrs_core::EventStore;
/// use cqrs_core::store::{StoreError, StoreErrorKind};
/// use cqrs_memory::{MemoryStore, Step};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// let reads = AtomicU32::new(0);
/// let store = MemoryStore::builder()
///     .on_step(move |step| match step {
///         // The first read fails.
///         Step::BeforeRead if reads.fetch_add(1, Ordering::Relaxed) == 0 => {
///             Err(StoreError::new(StoreErrorKind::Unavailable, "connection reset"))
///         }
///         _ => Ok(()),
///     })
///     .build();
///
/// assert!(store.head().await.is_err());
/// assert_eq!(store.head().await?.get(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Before the store reads: a page of events, the head, information about streams, a command
    /// record, a snapshot, a state or a checkpoint.
    BeforeRead,
    /// Before a valid append is compared with the log. An error stores nothing.
    BeforeAppend,
    /// After an append was accepted and before it is stored. An error stores nothing: neither its
    /// events nor its states nor its command record.
    DuringAppend,
    /// After an append was stored, or recognized as stored before. An error becomes
    /// [`AppendError::OutcomeUnknown`](cqrs_core::store::AppendError::OutcomeUnknown).
    AfterAppend,
    /// Before command records are removed.
    BeforeForgetCommands,
    /// After command records were removed.
    AfterForgetCommands,
    /// Before a snapshot is stored.
    BeforeSaveSnapshot,
    /// After a snapshot was stored.
    AfterSaveSnapshot,
    /// Before a snapshot is deleted.
    BeforeDeleteSnapshot,
    /// After a snapshot was deleted.
    AfterDeleteSnapshot,
    /// Before the version of a state without events is compared with the stored one.
    BeforeSaveState,
    /// After a state without events was stored. An error becomes
    /// [`SaveStateError::OutcomeUnknown`](cqrs_core::store::SaveStateError::OutcomeUnknown).
    AfterSaveState,
    /// Before a lease on a subscription is acquired, renewed or released, and before its checkpoint is
    /// saved, reset or deleted.
    BeforeCheckpoint,
    /// After a lease or checkpoint of a subscription was changed.
    AfterCheckpoint,
    /// Before the heartbeat of a node. Read store only, as are all steps after this one.
    BeforeHeartbeat,
    /// Before a node leaves; before a partition is leased, released or reported on; before a consumer
    /// is paused or resumed; before a parked event is retried or discarded.
    BeforeLease,
    /// Before a transaction begins.
    BeforeProjection,
    /// After a projector changed its models and before they and the checkpoint are stored. An error
    /// stores neither.
    BeforeProjectionCommit,
    /// After the models and the checkpoint were stored.
    AfterProjectionCommit,
    /// Before a new generation goes live, or its rebuild is cancelled.
    BeforeSwap,
    /// After a new generation went live, or was found not to be ready.
    AfterSwap,
}

/// A function that runs at each step, never while the store is locked.
pub(crate) type Hook = Box<dyn Fn(Step) -> Result<(), StoreError> + Send + Sync>;

/// The hook of a store, if one is set.
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
