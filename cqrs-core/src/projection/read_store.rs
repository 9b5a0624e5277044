//! The port of read stores: where read models stand, with their checkpoints.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::partition::{Capability, Partition, PartitionLease};
use super::projector::ProjectError;
use super::records::{Cluster, ConsumerRecord, Failure, ParkedEvent};
use crate::names::ConsumerName;
use crate::{Position, StoreError};

/// A new generation, still open.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewGeneration<T> {
    /// Its number.
    pub number: u64,
    /// The transaction that begins it, in which its tables are to be made.
    pub tx: T,
}

impl<T> NewGeneration<T> {
    /// From its parts.
    #[must_use]
    pub const fn new(number: u64, tx: T) -> Self {
        Self { number, tx }
    }
}

/// What came of an attempt to put a generation in the place of the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Readers see it now.
    Done,
    /// The live one knows more.
    Behind,
    /// There is no such generation, or it is live already.
    Gone,
}

/// Why a transaction was not begun or not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The lease is not the newest any more. Nothing was written, and never will be under it.
    #[error("the lease was lost")]
    Lost,
    /// The store failed.
    #[error("the read store failed")]
    Store(#[from] StoreError),
}

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The lease is not the newest any more. Nothing was written, and never will be under it.
    #[error("the lease was lost")]
    Lost,
    /// What the projector did cannot be committed: a constraint that is checked at the end, or an
    /// error that it did not return. Nothing was written.
    #[error("the transaction cannot be committed")]
    Failed(#[source] ProjectError),
    /// No answer came: everything was committed, or nothing. The checkpoint of the next lease
    /// tells.
    #[error("the outcome of the transaction is unknown")]
    Unknown(#[source] StoreError),
}

/// Keeps read models: their rows, how far they have got, who may write to them.
///
/// # Generations
/// A projector has at most one *live* generation, which readers see, and at most one that is being
/// *built*. They have tables of their own. [`swap`](Self::swap) makes the one built the live one,
/// in one transaction; readers see the old rows until it commits, and the new ones from then on.
///
/// # Fencing
/// Whoever holds the newest lease of a partition may write to it. What is written under an older one
/// is never committed, and does not keep the new owner waiting for longer than a few seconds.
#[async_trait]
pub trait ReadStore: Clone + fmt::Debug + Send + Sync + 'static {
    /// What projectors write through. Dropping it undoes everything.
    type Transaction: Send + 'static;

    /// Says that a node is alive for a while and what it can run, saves how far its idle
    /// partitions have got, and answers with everything known of nodes and projectors.
    ///
    /// # Behavior
    /// - A node that stays silent for longer than its lease owns nothing.
    /// - A checkpoint only moves forward, and only under the newest lease; what is not under it is
    ///   passed over.
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

    /// Forgets a node and gives back all it owns.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; the node is then missed after its lease.
    async fn leave(&self, node: Uuid) -> Result<(), StoreError>;

    /// Becomes the owner of a partition; `None` when another node that is alive has it, or it is
    /// not there.
    ///
    /// # Behavior
    /// - All older leases of the partition are lost from then on, also those of the same node.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn acquire(
        &self,
        node: Uuid,
        partition: &Partition,
    ) -> Result<Option<PartitionLease>, StoreError>;

    /// Gives a partition back. Nothing happens when the lease is lost already.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; others then wait until the node is missed.
    async fn release(&self, lease: &PartitionLease) -> Result<(), StoreError>;

    /// Begins to write to a partition.
    ///
    /// # Errors
    /// [`LeaseError`]. A store may find out at the commit only that the lease was lost.
    async fn begin(&self, lease: &PartitionLease) -> Result<Self::Transaction, LeaseError>;

    /// Moves the checkpoint of the partition and commits.
    ///
    /// # Behavior
    /// - The rows are there with the checkpoint, or neither is.
    /// - A lower position leaves the checkpoint where it is.
    /// - A checkpoint that is below that of the lease means that the store forgot something, as
    ///   after a restore: the lease counts as lost.
    /// - Failure on record is over.
    ///
    /// # Errors
    /// [`CommitError`].
    async fn commit(
        &self,
        tx: Self::Transaction,
        lease: &PartitionLease,
        through: Position,
    ) -> Result<(), CommitError>;

    /// Whether an error that a projector returned is about the store and passes by itself.
    fn is_transient(&self, error: &(dyn std::error::Error + 'static)) -> bool;

    /// Puts an event aside, as a part of the transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn park(
        &self,
        tx: &mut Self::Transaction,
        lease: &PartitionLease,
        event: &ParkedEvent,
    ) -> Result<(), StoreError>;

    /// Removes an event that was put aside, as a part of the transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn unpark(
        &self,
        tx: &mut Self::Transaction,
        lease: &PartitionLease,
        position: Position,
    ) -> Result<(), StoreError>;

    /// The events put aside by a generation of a projector, by position; by all its partitions or
    /// by one. Those that were discarded are among them.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn parked(
        &self,
        projector: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Result<Vec<ParkedEvent>, StoreError>;

    /// Asks the owner of the partition to try the events of a key again, or those of all keys.
    /// Says how many events that concerns.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn request_retry(
        &self,
        projector: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError>;

    /// Notes how a retry of a key went: it is not asked for any more, and its first event failed
    /// again in this way, if it did.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn retried(
        &self,
        lease: &PartitionLease,
        key: &str,
        failed: Option<&Failure>,
    ) -> Result<(), StoreError>;

    /// Gives up an event that was put aside. It stays on record with the reason, and the later
    /// ones of its key are tried. Says whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn discard(
        &self,
        projector: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError>;

    /// Notes what is wrong with a partition; nothing any more when `None`. Says whether the lease
    /// is the newest; if not, nothing is noted.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn report(
        &self,
        lease: &PartitionLease,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError>;

    /// Stops a projector on all nodes, or lets it go on, also where it had stopped by itself. Says
    /// whether it is there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn set_paused(&self, projector: &ConsumerName, paused: bool) -> Result<bool, StoreError>;

    /// All that is known of projectors, or of one.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn inspect(
        &self,
        projector: Option<&ConsumerName>,
    ) -> Result<Vec<ConsumerRecord>, StoreError>;

    /// Begins a generation behind a position. [`commit_new`](Self::commit_new) makes it last.
    ///
    /// # Behavior
    /// - `None` when one of this version or a later one, with as many partitions, is being built
    ///   already. One of an earlier version, or whose tables are gone, is dropped.
    /// - Of two at once the second waits for the first.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn new_generation(
        &self,
        projector: &ConsumerName,
        version: u32,
        partitions: u32,
        after: Position,
    ) -> Result<Option<NewGeneration<Self::Transaction>>, StoreError>;

    /// Makes a new generation last, with its empty tables.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn commit_new(&self, tx: Self::Transaction) -> Result<(), StoreError>;

    /// Makes a generation the live one if no partition of the live one has got further than the
    /// one built. What was live is removed.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn swap(&self, projector: &ConsumerName, generation: u64) -> Result<Swap, StoreError>;

    /// Drops the generation that is being built. Says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn cancel(&self, projector: &ConsumerName) -> Result<bool, StoreError>;

    /// Turns to the live generation of a projector inside a transaction of an append, and says
    /// how far it has got; `None` when there is none at this version.
    ///
    /// # Behavior
    /// - Until the transaction ends, nobody else writes to it.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn enter(
        &self,
        tx: &mut Self::Transaction,
        projector: &ConsumerName,
        version: u32,
    ) -> Result<Option<Position>, StoreError>;

    /// Moves the checkpoint of the generation that was entered.
    ///
    /// # Behavior
    /// - Every lease of it ends with the transaction: its owner would write the same events again.
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
