//! How far each subscription has got, and who may move it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{Position, StoreError, Timestamp};

pub use crate::names::SubscriptionName;

/// The right to move a checkpoint, until somebody else gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionLease {
    /// The subscription.
    pub name: SubscriptionName,
    /// Tells this lease from all others ever made in the store, and is higher than those before.
    pub epoch: u64,
    /// The checkpoint as it was then.
    pub checkpoint: Position,
}

impl SubscriptionLease {
    /// From its parts.
    #[must_use]
    pub const fn new(name: SubscriptionName, epoch: u64, checkpoint: Position) -> Self {
        Self { name, epoch, checkpoint }
    }
}

/// What is known about a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Its name.
    pub name: SubscriptionName,
    /// Everything up to here is done.
    pub position: Position,
    /// Who holds it, if the lease has not run out.
    pub owner: Option<Uuid>,
    /// When that lease runs out unless it is renewed.
    pub held_until: Option<Timestamp>,
}

impl Checkpoint {
    /// From its parts.
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

/// Why a subscription could not be claimed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Somebody else holds it. Trying again later can help.
    #[error("somebody else holds the subscription until {until}")]
    Held {
        /// When their lease runs out unless they renew it.
        until: Timestamp,
    },
    /// The store failed.
    #[error("the store did not answer the lease")]
    Store(#[from] StoreError),
}

/// Why a checkpoint was not moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The lease is not the newest any more: somebody else has the subscription, or it was reset
    /// or deleted. Nothing was changed, and never will be under this lease.
    #[error("the lease on the subscription was lost")]
    Lost,
    /// The store failed. Saving the same position again is harmless.
    #[error("the store did not save the checkpoint")]
    Store(#[from] StoreError),
}

/// Keeps checkpoints. Times are the store's own, so that processes need not agree on a clock.
#[async_trait]
pub trait CheckpointStore: std::fmt::Debug + Send + Sync + 'static {
    /// Becomes the owner of a subscription for a while.
    ///
    /// # Behavior
    /// - One that is not there is created, with its checkpoint at `start`. Of one that is there,
    ///   `start` changes nothing.
    /// - One that nobody holds, whose lease has run out, or that the same owner holds, is given
    ///   out; every older lease is lost from then on.
    ///
    /// # Errors
    /// [`AcquireError`].
    async fn acquire(
        &self,
        name: &SubscriptionName,
        start: Position,
        owner: Uuid,
        duration: Duration,
    ) -> Result<SubscriptionLease, AcquireError>;

    /// Holds a subscription for a while longer, from now on.
    ///
    /// # Behavior
    /// - Works as long as nobody else claimed it, also when the time has run out.
    ///
    /// # Errors
    /// [`CheckpointError`].
    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError>;

    /// Moves the checkpoint forward. A lower position changes nothing and is no error.
    ///
    /// # Errors
    /// [`CheckpointError`].
    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError>;

    /// Gives a subscription back, so that others need not wait. Nothing happens when the lease is
    /// lost already.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; the lease then runs out by itself.
    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError>;

    /// One subscription; `None` when it is not there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError>;

    /// All subscriptions, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError>;

    /// Moves a checkpoint to any position and ends the lease on it; whoever held it starts again
    /// from there. Says whether the subscription is there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError>;

    /// Removes a subscription and ends the lease on it. Says whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
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
