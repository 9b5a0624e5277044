//! The port of read stores.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::error::{CommitError, LeaseError};
use super::partition::{Capability, Partition, PartitionLease};
use super::records::{Cluster, ConsumerRecord, Failure, ParkedEvent};
use crate::names::ConsumerName;
use crate::{Position, StoreError};

/// A new generation whose transaction has not been committed yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewGeneration<T> {
    /// Its number.
    pub number: u64,
    /// The transaction that creates it. Its tables are created in it.
    pub tx: T,
}

impl<T> NewGeneration<T> {
    /// Creates a new generation. Only read stores need this.
    #[must_use]
    pub const fn new(number: u64, tx: T) -> Self {
        Self { number, tx }
    }
}

/// The outcome of [`ReadStore::swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Readers see the generation now.
    Done,
    /// The live generation is further than the one being built.
    Behind,
    /// There is no such generation, or it is live already.
    Gone,
}

/// Stores read models: their rows, their checkpoints, and the leases that say who may write them.
///
/// # Generations
/// A consumer has at most one *live* generation, which readers see, and at most one that is being
/// *built*. Each has its own tables. [`swap`](Self::swap) replaces the live one in one transaction:
/// readers see the old rows until it commits, and the new ones afterwards.
///
/// # Fencing
/// Only the owner of the newest lease of a partition may write to it. A transaction under an older
/// lease never commits, and delays the new owner by a few seconds at most.
///
/// # Example
/// `read_store_conformance!` of `cqrs-testing` checks an implementation. `MemoryReadStore` is the
/// shortest one to read.
///
/// ```
/// # use cqrs_memory::MemoryReadStore;
/// use cqrs_core::projection::ConsumerName;
/// use cqrs_core::projection::store::{ReadStore, Swap};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryReadStore::new();
/// let balances = ConsumerName::new("balances")?;
/// // Nothing is being built, so there is no generation to swap in or to cancel.
/// assert_eq!(store.swap(&balances, 1).await?, Swap::Gone);
/// assert!(!store.cancel(&balances).await?);
/// # Ok(()) }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a read store",
    note = "`MemoryReadStore` and `PgReadStore` are read stores; an event store is not"
)]
pub trait ReadStore: Clone + fmt::Debug + Send + Sync + 'static {
    /// What projectors write through. Dropping it rolls everything back.
    type Transaction: Send + 'static;

    /// Reports that a node is alive and what it can run, saves the checkpoints of its idle
    /// partitions, and returns the records of all nodes and consumers.
    ///
    /// # Behavior
    /// - A node that has sent no heartbeat for longer than `lease` owns nothing.
    /// - A checkpoint moves only forward, and only under the newest lease of its partition. Other
    ///   entries of `progress` are ignored.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn heartbeat(
        &self,
        node: Uuid,
        lease: Duration,
        capabilities: &[Capability],
        progress: &[PartitionLease],
    ) -> Result<Cluster, StoreError>;

    /// Removes a node and releases everything it owns.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. Other nodes then wait until the node's lease expires.
    async fn leave(&self, node: Uuid) -> Result<(), StoreError>;

    /// Leases a partition to a node. Returns `None` if another node that is alive owns it, or if
    /// it does not exist.
    ///
    /// # Behavior
    /// - All older leases of the partition are lost, including those of the same node.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn acquire(
        &self,
        node: Uuid,
        partition: &Partition,
    ) -> Result<Option<PartitionLease>, StoreError>;

    /// Releases a partition. Does nothing if the lease is lost.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. Other nodes then wait until the node's lease expires.
    async fn release(&self, lease: &PartitionLease) -> Result<(), StoreError>;

    /// Begins a transaction that writes to a partition.
    ///
    /// # Errors
    /// [`LeaseError`]. A store may report that the lease is lost at the commit only.
    async fn begin(&self, lease: &PartitionLease) -> Result<Self::Transaction, LeaseError>;

    /// Moves the checkpoint of the partition and commits.
    ///
    /// # Behavior
    /// - The rows and the checkpoint are committed together, or neither is.
    /// - A lower position leaves the checkpoint unchanged.
    /// - If the stored checkpoint is lower than that of the lease, the store has lost data, for
    ///   example because it was restored from a backup. The lease then counts as lost.
    /// - A reported failure of the partition is cleared.
    ///
    /// # Errors
    /// [`CommitError`].
    async fn commit(
        &self,
        tx: Self::Transaction,
        lease: &PartitionLease,
        through: Position,
    ) -> Result<(), CommitError>;

    /// Returns `true` if an error that a projector returned is a failure of the store that is
    /// worth retrying without limit, such as a lost connection or a deadlock.
    fn is_transient(&self, error: &(dyn std::error::Error + 'static)) -> bool;

    /// Parks an event, as a part of the transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn park(
        &self,
        tx: &mut Self::Transaction,
        lease: &PartitionLease,
        event: &ParkedEvent,
    ) -> Result<(), StoreError>;

    /// Removes a parked event, as a part of the transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn unpark(
        &self,
        tx: &mut Self::Transaction,
        lease: &PartitionLease,
        position: Position,
    ) -> Result<(), StoreError>;

    /// Returns the parked events of a generation by position, including those that were discarded.
    /// `number` restricts them to one partition.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn parked(
        &self,
        consumer: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Result<Vec<ParkedEvent>, StoreError>;

    /// Asks the owner of the partition to retry the parked events of a key, or those of all keys.
    /// Returns the number of events.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn request_retry(
        &self,
        consumer: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError>;

    /// Records the outcome of a retry of a key: the request is done, and `failed` says how its
    /// first event failed again, if it did.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn retried(
        &self,
        lease: &PartitionLease,
        key: &str,
        failed: Option<&Failure>,
    ) -> Result<(), StoreError>;

    /// Discards a parked event. It is kept with the reason, and the later ones of its key are
    /// retried. Returns `true` if the event was parked.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn discard(
        &self,
        consumer: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError>;

    /// Records the failure of a partition, or clears it if `failure` is `None`. Returns `false`,
    /// and records nothing, if the lease is lost.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn report(
        &self,
        lease: &PartitionLease,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError>;

    /// Pauses a consumer on all nodes, or resumes it, including partitions that stopped after a
    /// failure. Returns `true` if the consumer exists.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn set_paused(&self, consumer: &ConsumerName, paused: bool) -> Result<bool, StoreError>;

    /// Returns the records of all consumers, or of one.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn inspect(
        &self,
        consumer: Option<&ConsumerName>,
    ) -> Result<Vec<ConsumerRecord>, StoreError>;

    /// Begins a generation whose checkpoints are at a position. It exists after
    /// [`commit_new`](Self::commit_new).
    ///
    /// # Behavior
    /// - Returns `None` if a generation of this version or a later one, with the same number of
    ///   partitions, is being built already. A generation of an earlier version, or one whose
    ///   tables are gone, is dropped.
    /// - Of two concurrent calls the second waits for the first.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn new_generation(
        &self,
        consumer: &ConsumerName,
        version: u32,
        partitions: u32,
        after: Position,
    ) -> Result<Option<NewGeneration<Self::Transaction>>, StoreError>;

    /// Commits a new generation with its empty tables.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn commit_new(&self, tx: Self::Transaction) -> Result<(), StoreError>;

    /// Makes a generation the live one, unless a partition of the live one is further than the
    /// generation. The generation that was live is removed.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn swap(&self, consumer: &ConsumerName, generation: u64) -> Result<Swap, StoreError>;

    /// Drops the generation that is being built. Returns `true` if there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn cancel(&self, consumer: &ConsumerName) -> Result<bool, StoreError>;

    /// Selects the live generation of a projector in the transaction of an append, and returns
    /// its checkpoint, or `None` if there is no live generation of this version.
    ///
    /// # Behavior
    /// - No other transaction writes to the generation until this one ends.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn enter(
        &self,
        tx: &mut Self::Transaction,
        projector: &ConsumerName,
        version: u32,
    ) -> Result<Option<Position>, StoreError>;

    /// Moves the checkpoint of the generation selected by [`enter`](Self::enter).
    ///
    /// # Behavior
    /// - All leases of the generation are lost at the commit, because their owners would apply
    ///   the same events again.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn advance(
        &self,
        tx: &mut Self::Transaction,
        projector: &ConsumerName,
        through: Position,
    ) -> Result<(), StoreError>;
}
