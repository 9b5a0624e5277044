//! What goes on beside the handler: the claim is renewed, and acknowledgements that rest are saved.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use super::acks::InFlight;
use super::{CheckpointError, CheckpointStore, SubscriptionLease};
use crate::Position;

/// A timer needs some time.
const SHORTEST: Duration = Duration::from_millis(1);

/// One claim and what is in flight under it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) claim: SubscriptionLease,
    checkpoints: Arc<dyn CheckpointStore>,
    in_flight: Mutex<InFlight>,
    /// One at a time, so that a slow save is not overtaken by an older one.
    saving: AsyncMutex<()>,
    /// Told at each acknowledgement.
    pub(super) acked: Notify,
    lost: watch::Sender<bool>,
}

impl Held {
    pub(super) fn new(claim: SubscriptionLease, checkpoints: Arc<dyn CheckpointStore>) -> Self {
        let in_flight = Mutex::new(InFlight::behind(claim.checkpoint));
        Self {
            claim,
            checkpoints,
            in_flight,
            saving: AsyncMutex::new(()),
            acked: Notify::new(),
            lost: watch::Sender::new(false),
        }
    }

    pub(super) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        // Nothing panics under it.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Returns when the claim is lost.
    pub(super) async fn until_lost(&self) {
        // The sender lives as long as this.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    pub(super) fn lose(&self) {
        self.lost.send_replace(true);
    }

    /// Saves the checkpoint if it has moved.
    pub(super) async fn save(&self) -> Result<(), CheckpointError> {
        let _one_at_a_time = self.saving.lock().await;
        let (position, unsaved) = {
            let in_flight = self.in_flight();
            if in_flight.checkpoint() <= in_flight.saved {
                return Ok(());
            }
            (in_flight.checkpoint(), in_flight.unsaved)
        };
        match self.checkpoints.save_checkpoint(&self.claim, position).await {
            Ok(()) => {
                let mut in_flight = self.in_flight();
                in_flight.saved = position;
                in_flight.unsaved -= unsaved;
                Ok(())
            }
            Err(error) => {
                if matches!(error, CheckpointError::Lost) {
                    self.lose();
                }
                Err(error)
            }
        }
    }

    /// Saves what was acknowledged and gives the claim back.
    pub(super) async fn end(&self) -> Result<(), CheckpointError> {
        let saved = self.save().await;
        let released = self.checkpoints.release(&self.claim).await;
        self.lose();
        saved.and(released.map_err(CheckpointError::Store))
    }

    /// Where the checkpoint would be if it were saved now.
    pub(super) fn checkpoint(&self) -> Position {
        self.in_flight().checkpoint()
    }

    /// Renews the claim three times in its life, and saves what has rested, until it is lost.
    pub(super) async fn keep(self: Arc<Self>, lease: Duration, save_after: Duration) {
        let mut renew = tokio::time::interval((lease / 3).max(SHORTEST));
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut save = tokio::time::interval(save_after.max(SHORTEST));
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_lost() {
            tokio::select! {
                _ = renew.tick() => match self.checkpoints.renew(&self.claim, lease).await {
                    Ok(()) => {}
                    Err(CheckpointError::Lost) => self.lose(),
                    // It is tried again soon enough; should the claim run out meanwhile and
                    // somebody take it, that is what "lost" will say.
                    Err(CheckpointError::Store(error)) => {
                        tracing::warn!(name = %self.claim.name, %error, "claim not renewed");
                    }
                },
                // Who waits for a save is told of its error; nobody waits for this one.
                _ = save.tick() => drop(self.save().await),
                () = self.until_lost() => {}
            }
        }
    }
}
