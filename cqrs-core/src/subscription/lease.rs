//! A lease that is held: renewing it, and saving acknowledgements under it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use super::checkpoints::{CheckpointError, CheckpointStore, SubscriptionLease};
use super::unacknowledged::Unacknowledged;
use crate::Position;

/// A timer's interval must not be zero.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// A lease, and the events delivered under it.
#[derive(Debug)]
pub(super) struct HeldLease {
    lease: SubscriptionLease,
    checkpoints: Arc<dyn CheckpointStore>,
    unacknowledged: Mutex<Unacknowledged>,
    /// Saves run one at a time, so that an older one cannot finish after a newer one.
    saving: AsyncMutex<()>,
    /// Notified at each acknowledgement.
    pub(super) acked: Notify,
    lost: watch::Sender<bool>,
}

impl HeldLease {
    pub(super) fn new(lease: SubscriptionLease, checkpoints: Arc<dyn CheckpointStore>) -> Self {
        let unacknowledged = Mutex::new(Unacknowledged::after(lease.checkpoint));
        Self {
            lease,
            checkpoints,
            unacknowledged,
            saving: AsyncMutex::new(()),
            acked: Notify::new(),
            lost: watch::Sender::new(false),
        }
    }

    pub(super) fn unacknowledged(&self) -> MutexGuard<'_, Unacknowledged> {
        // No code panics while it holds the lock.
        self.unacknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until the lease is lost.
    pub(super) async fn until_lost(&self) {
        // `self` owns the sender, so waiting cannot fail.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    fn lose(&self) {
        self.lost.send_replace(true);
    }

    /// Saves the checkpoint if it has moved.
    pub(super) async fn save(&self) -> Result<(), CheckpointError> {
        let _one_at_a_time = self.saving.lock().await;
        let (position, unsaved) = {
            let events = self.unacknowledged();
            if events.checkpoint() <= events.saved {
                return Ok(());
            }
            (events.checkpoint(), events.unsaved)
        };
        match self.checkpoints.save_checkpoint(&self.lease, position).await {
            Ok(()) => {
                let mut events = self.unacknowledged();
                events.saved = position;
                events.unsaved -= unsaved;
                Ok(())
            }
            Err(error) => {
                if matches!(error, CheckpointError::Lost { .. }) {
                    self.lose();
                }
                Err(error)
            }
        }
    }

    /// Saves the checkpoint and releases the lease.
    pub(super) async fn end(&self) -> Result<(), CheckpointError> {
        let saved = self.save().await;
        let released = self.checkpoints.release(&self.lease).await;
        self.lose();
        saved.and(
            released
                .map_err(|source| CheckpointError::Store { name: self.lease.name.clone(), source }),
        )
    }

    /// Returns the checkpoint that the acknowledgements so far lead to, saved or not.
    pub(super) fn checkpoint(&self) -> Position {
        self.unacknowledged().checkpoint()
    }

    /// Renews the lease every third of its duration and saves the checkpoint regularly, until the
    /// lease is lost.
    pub(super) async fn renew_until_lost(self: Arc<Self>, lease: Duration, save_after: Duration) {
        let mut renew = tokio::time::interval((lease / 3).max(SHORTEST_INTERVAL));
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut save = tokio::time::interval(save_after.max(SHORTEST_INTERVAL));
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_lost() {
            tokio::select! {
                _ = renew.tick() => match self.checkpoints.renew(&self.lease, lease).await {
                    Ok(()) => {}
                    Err(CheckpointError::Lost { .. }) => self.lose(),
                    // The next tick retries. If another owner acquires the lease before then,
                    // that attempt reports it as lost.
                    Err(CheckpointError::Store { source, .. }) => {
                        let (name, error) = (&self.lease.name, &source as &dyn std::error::Error);
                        tracing::warn!(subscription = %name, error, "lease renewal failed");
                    }
                },
                // The next save includes what this one fails to save.
                _ = save.tick() => drop(self.save().await),
                () = self.until_lost() => {}
            }
        }
    }
}
