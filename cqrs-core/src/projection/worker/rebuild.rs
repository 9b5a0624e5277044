//! A generation that is being built: it pauses for appends, and replaces the live one when it has
//! caught up.

use std::time::Duration;

use super::{Ended, LONGEST_PAUSE_FACTOR, Worker};
use crate::failures::error_chain;
use crate::projection::projector::Projector;
use crate::projection::store::{Failure, ReadStore, Swap};

const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    /// Replaces the live generation if this one has caught up with it.
    pub(super) async fn try_swap(&mut self) -> Result<(), Ended> {
        let partition = self.lease.partition.clone();
        // The store compares checkpoints.
        let swapped = match self.save().await {
            Ok(()) => self.shared.read.swap(&partition.consumer, partition.generation).await,
            Err(error) => Err(error),
        };
        match swapped {
            Ok(Swap::Done) => {
                tracing::info!(%partition, "generation is live");
                self.swapped = true;
                self.shared.request_heartbeat();
                Ok(())
            }
            // Tried again after the next event or heartbeat.
            Ok(Swap::Behind) => Ok(()),
            Ok(Swap::Gone) => {
                self.shared.request_heartbeat();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "swapping generation failed");
                let (position, error) = (self.cursor(), error_chain(&error));
                let failure = Failure { position, error, attempts: 1, stopped: false };
                self.report(&failure).await
            }
        }
    }

    /// Pauses after a transaction while others append, because building at full speed would slow
    /// them down.
    pub(super) async fn pause_for_appends(&mut self, took: Duration) -> Result<(), Ended> {
        if self.swapped || self.control.borrow().live {
            return Ok(());
        }
        // If the head is unknown, the next transaction reports why.
        let head = self.shared.events.head().await.unwrap_or(self.head);
        let is_growing = head > std::mem::replace(&mut self.head, head);
        let lag = head.get().saturating_sub(self.cursor().get());
        // It has to catch up eventually: if the lag does not shrink, pauses are halved, and then grow
        // slowly to the longest with which it still shrinks.
        let shrinks = lag < std::mem::replace(&mut self.lag, lag);
        let longer = (self.pause_factor + 1).min(LONGEST_PAUSE_FACTOR);
        self.pause_factor = if shrinks { longer } else { self.pause_factor / 2 };
        if is_growing && lag > 0 {
            self.pause((took * self.pause_factor).min(LONGEST_PAUSE)).await?;
        }
        Ok(())
    }
}
