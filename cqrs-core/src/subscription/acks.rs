//! Acknowledging events.

use std::sync::Arc;

use super::checkpoints::{CheckpointError, SubscriptionName};
use super::lease::HeldLease;
use super::unacknowledged::Unacknowledged;
use crate::Position;

/// Why an acknowledgement was not accepted, or not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// No event at this position is waiting for an acknowledgement: it was not delivered, was
    /// acknowledged before, or was delivered under a lease that has been lost. Nothing was changed.
    #[error("no event of subscription `{name}` to acknowledge at position {position}")]
    Unexpected {
        /// The subscription.
        name: SubscriptionName,
        /// The position.
        position: Position,
    },
    /// The acknowledgement was accepted, but the checkpoint was not saved. Saving is retried
    /// automatically. If the lease is lost before it succeeds, the events are delivered again, here
    /// or to another node.
    #[error(transparent)]
    NotSaved(#[from] CheckpointError),
}

/// Acknowledges the events of a [`DurableSubscription`](super::DurableSubscription).
///
/// Returned by [`DurableSubscription::acks`](super::DurableSubscription::acks). Use a clone in
/// another task while the subscription waits for its next event. The handle belongs to the lease
/// under which the last event was delivered; after that lease is lost, request a new handle.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
/// # #[event(crate = cqrs_core)]
/// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
/// # use cqrs_core::{ExpectedVersion, StreamName};
/// # let store = cqrs_memory::MemoryStore::new();
/// # let cart = StreamName::new("cart-7")?;
/// # let added = [CartEvent::Added("abc".into()), CartEvent::Added("xyz".into())];
/// # store.append_events(&cart, ExpectedVersion::Any, &added).await?;
/// use cqrs_core::{EventStoreExt, Position};
/// use cqrs_core::subscription::{DurableOptions, SubscriptionName, SubscriptionOptions};
///
/// let billing = DurableOptions::new(SubscriptionName::new("billing")?, SubscriptionOptions::all());
/// let mut events = store.subscribe_durable(store.clone(), billing);
/// let (first, second) = (events.next().await?, events.next().await?);
///
/// // Events may finish in any order; the checkpoint waits for the slowest one.
/// let acks = events.acks();
/// acks.ack_one(second.position).await?;
/// assert_eq!(acks.checkpoint(), Some(Position::START));
/// acks.ack_one(first.position).await?;
/// assert_eq!(acks.checkpoint(), Some(second.position));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Acks {
    name: SubscriptionName,
    /// `None` before the first event is delivered.
    lease: Option<Arc<HeldLease>>,
    save_every: u64,
}

impl Acks {
    pub(super) const fn new(
        name: SubscriptionName,
        lease: Option<Arc<HeldLease>>,
        save_every: u64,
    ) -> Self {
        Self { name, lease, save_every }
    }

    /// Acknowledges the event at this position and every event that was delivered before it.
    ///
    /// Saves the checkpoint after every [`save_every`](super::DurableOptions::save_every)
    /// acknowledgements.
    ///
    /// # Errors
    /// Returns [`AckError::Unexpected`] if the event is not waiting for an acknowledgement, and
    /// [`AckError::NotSaved`] if the checkpoint cannot be saved.
    ///
    /// # Cancel safety
    /// If the future is dropped, the events may or may not be acknowledged. If they are, the
    /// checkpoint is saved within [`save_after`](super::DurableOptions::save_after).
    pub async fn ack(&self, position: Position) -> Result<(), AckError> {
        self.settle(position, Unacknowledged::ack_through).await
    }

    /// Acknowledges only the event at this position, for handlers that work on several events at a
    /// time. The checkpoint moves once every event before it is acknowledged too.
    ///
    /// # Errors
    /// Same as for [`ack`](Self::ack).
    ///
    /// # Cancel safety
    /// Same as for [`ack`](Self::ack).
    pub async fn ack_one(&self, position: Position) -> Result<(), AckError> {
        self.settle(position, Unacknowledged::ack_one).await
    }

    /// Returns the position up to which every event is acknowledged, saved or not, or `None` before
    /// the first event is delivered.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Position> {
        self.lease.as_ref().map(|lease| lease.checkpoint())
    }

    async fn settle(
        &self,
        position: Position,
        ack: impl Fn(&mut Unacknowledged, Position) -> bool + Send,
    ) -> Result<(), AckError> {
        let accepted = self
            .lease
            .as_ref()
            .filter(|lease| !lease.is_lost() && ack(&mut lease.unacknowledged(), position));
        let Some(lease) = accepted else {
            return Err(AckError::Unexpected { name: self.name.clone(), position });
        };
        lease.acked.notify_waiters();
        let unsaved = lease.unacknowledged().unsaved;
        if unsaved >= self.save_every {
            lease.save().await?;
        }
        Ok(())
    }
}
