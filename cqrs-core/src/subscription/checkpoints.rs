//! Checkpoints of durable subscriptions, and the leases that protect them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{Position, StoreError, Timestamp};

pub use crate::names::SubscriptionName;

/// The exclusive right to move a checkpoint, until it expires or another owner acquires it.
///
/// ```
/// use cqrs_core::store::{InvalidName, Position};
/// use cqrs_core::subscription::{SubscriptionLease, SubscriptionName};
///
/// let lease = SubscriptionLease::new(SubscriptionName::new("billing")?, 1, Position::new(41));
/// assert_eq!(lease.checkpoint, Position::new(41));
/// # Ok::<(), InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionLease {
    /// The subscription.
    pub name: SubscriptionName,
    /// A number that is higher than that of every lease acquired before in the same store.
    pub epoch: u64,
    /// The checkpoint at the time the lease was acquired.
    pub checkpoint: Position,
}

impl SubscriptionLease {
    /// Creates a lease from its parts, for implementations of [`CheckpointStore`].
    #[must_use]
    pub const fn new(name: SubscriptionName, epoch: u64, checkpoint: Position) -> Self {
        Self { name, epoch, checkpoint }
    }
}

/// The stored state of a durable subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The name of the subscription.
    pub name: SubscriptionName,
    /// Every event up to here is acknowledged or did not pass the filter.
    pub position: Position,
    /// The owner of the lease, unless it has expired or was released.
    pub owner: Option<Uuid>,
    /// When the lease expires unless it is renewed.
    pub held_until: Option<Timestamp>,
}

impl Checkpoint {
    /// Creates a checkpoint from its parts, for implementations of [`CheckpointStore`].
    #[must_use]
    pub const fn new(
        name: SubscriptionName,
        position: Position,
        owner: Option<Uuid>,
        held_until: Option<Timestamp>,
    ) -> Self {
        Self { name, position, owner, held_until }
    }
}

/// Why a lease was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Another owner holds the lease. Trying again after it expires can succeed.
    #[error("another owner holds the lease on subscription `{name}` until {until}")]
    Held {
        /// The subscription.
        name: SubscriptionName,
        /// When the lease expires unless it is renewed.
        until: Timestamp,
    },
    /// The store failed. The lease may have been acquired; the same owner can acquire it again.
    #[error("acquiring the lease on subscription `{name}` failed")]
    Store {
        /// The subscription.
        name: SubscriptionName,
        /// The cause.
        source: StoreError,
    },
}

/// Why a checkpoint was not saved, or a lease not renewed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The lease is not the newest: another owner has acquired the subscription, or it was reset or
    /// deleted. Nothing was changed. Only a new lease helps.
    #[error("the lease on subscription `{name}` was lost")]
    Lost {
        /// The subscription.
        name: SubscriptionName,
    },
    /// The store failed. Saving the same position again is harmless.
    #[error("saving the checkpoint of subscription `{name}` failed")]
    Store {
        /// The subscription.
        name: SubscriptionName,
        /// The cause.
        source: StoreError,
    },
}

/// Stores the checkpoints of durable subscriptions and grants the leases on them.
///
/// Implemented by backends and by wrappers around them. `# Behavior` lists the rules of each
/// method; the conformance suite of `cqrs-testing` has a case for each rule. The store measures
/// times, so the clocks of nodes need not agree.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = cqrs_memory::MemoryStore::new();
/// use std::time::Duration;
/// use cqrs_core::{Position, event::Uuid};
/// use cqrs_core::subscription::{AcquireError, CheckpointStore, SubscriptionName};
///
/// let (billing, minute) = (SubscriptionName::new("billing")?, Duration::from_secs(60));
/// let (owner, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
/// let lease = store.acquire(&billing, Position::START, owner, minute).await?;
/// store.save_checkpoint(&lease, Position::new(41)).await?;
///
/// let held = store.acquire(&billing, Position::START, other, minute).await;
/// assert!(matches!(held, Err(AcquireError::Held { .. })));
///
/// // Operators read a checkpoint, or move it to deliver events again.
/// let checkpoint = store.find_checkpoint(&billing).await?.expect("it was acquired");
/// assert_eq!(checkpoint.position, Position::new(41));
/// assert!(store.reset_checkpoint(&billing, Position::new(7)).await?);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait CheckpointStore: std::fmt::Debug + Send + Sync + 'static {
    /// Acquires the lease on a subscription for the given duration.
    ///
    /// # Behavior
    /// - If the subscription does not exist, it is created with its checkpoint at `start`. If it
    ///   exists, `start` is ignored.
    /// - The lease is granted if it is free, has expired, or is held by the same owner. Its epoch
    ///   is higher than that of any earlier lease, and every earlier lease of the subscription is
    ///   lost.
    /// - Of concurrent calls with different owners, at most one succeeds while its lease lasts.
    ///
    /// # Errors
    /// Returns [`AcquireError::Held`] if another owner holds the lease, and
    /// [`AcquireError::Store`] if the store fails.
    async fn acquire(
        &self,
        name: &SubscriptionName,
        start: Position,
        owner: Uuid,
        duration: Duration,
    ) -> Result<SubscriptionLease, AcquireError>;

    /// Extends a lease, so that it expires after the given duration from now.
    ///
    /// # Behavior
    /// - An expired lease can be renewed as long as no other owner has acquired it.
    ///
    /// # Errors
    /// Returns [`CheckpointError::Lost`] if the lease is not the newest, and
    /// [`CheckpointError::Store`] if the store fails.
    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError>;

    /// Moves the checkpoint forward. A lower position changes nothing and is not an error.
    ///
    /// # Behavior
    /// - An expired lease can still move the checkpoint as long as no other owner has acquired it.
    ///
    /// # Errors
    /// Returns [`CheckpointError::Lost`] if the lease is not the newest, and
    /// [`CheckpointError::Store`] if the store fails.
    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError>;

    /// Releases a lease, so that another owner can acquire it immediately. Does nothing if the
    /// lease is lost.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails; the lease then expires.
    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError>;

    /// Returns the checkpoint of a subscription, or `None` if the subscription does not exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError>;

    /// Returns the checkpoints of all subscriptions, sorted by name.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError>;

    /// Moves a checkpoint to any position, forward or backward, and ends the lease on it; a
    /// subscription that held it starts again from there. Returns `false` if the subscription does
    /// not exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError>;

    /// Deletes a subscription and ends the lease on it. Returns `false` if it does not exist.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: CheckpointStore + ?Sized> CheckpointStore for Arc<S> {
    async fn acquire(
        &self,
        name: &SubscriptionName,
        start: Position,
        owner: Uuid,
        duration: Duration,
    ) -> Result<SubscriptionLease, AcquireError> {
        (**self).acquire(name, start, owner, duration).await
    }
    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError> {
        (**self).renew(lease, duration).await
    }
    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError> {
        (**self).save_checkpoint(lease, position).await
    }
    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError> {
        (**self).release(lease).await
    }
    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError> {
        (**self).find_checkpoint(name).await
    }
    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        (**self).list_checkpoints().await
    }
    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError> {
        (**self).reset_checkpoint(name, position).await
    }
    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError> {
        (**self).delete_checkpoint(name).await
    }
}
