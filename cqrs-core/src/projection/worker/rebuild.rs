//! A generation that nobody sees yet: it makes way for appends, and takes the live one's place when
//! it is as good.

use std::time::Duration;

use super::{Ended, Worker};
use crate::failures::error_chain;
use crate::projection::projector::Projector;
use crate::projection::read_store::{ReadStore, Swap};
use crate::projection::records::Failure;

/// How much longer than a transaction took a building read model rests while others append, unless
/// it falls back.
pub(super) const REST: u32 = 24;
const LONGEST_REST: Duration = Duration::from_millis(500);

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    /// Puts the generation in the place of the live one if it is as good.
    pub(super) async fn try_swap(&mut self) -> Result<(), Ended> {
        let partition = self.lease.partition.clone();
        // What is compared are the checkpoints.
        let swapped = match self.save().await {
            Ok(()) => self.shared.read.swap(&partition.consumer, partition.generation).await,
            Err(error) => Err(error),
        };
        match swapped {
            Ok(Swap::Done) => {
                tracing::info!(%partition, "the read model is built and live");
                self.swapped = true;
                self.shared.nudge.notify_one();
                Ok(())
            }
            // Perhaps after the next event, perhaps at the next heartbeat.
            Ok(Swap::Behind) => Ok(()),
            Ok(Swap::Gone) => {
                self.shared.nudge.notify_one();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "not swapped yet");
                let (position, error) = (self.cursor(), error_chain(&error));
                let failure = Failure { position, error, attempts: 1, stopped: false };
                self.report(&failure).await
            }
        }
    }

    /// While others append, a read model that nobody sees yet is built slowly: building it costs
    /// the machine as much as it can give.
    pub(super) async fn make_way(&mut self, took: Duration) -> Result<(), Ended> {
        if self.swapped || self.control.borrow().live {
            return Ok(());
        }
        // Unknown is as good as unchanged: the next transaction finds out what is wrong.
        let head = self.shared.events.head().await.unwrap_or(self.head);
        let is_growing = head > std::mem::replace(&mut self.head, head);
        let lag = head.get().saturating_sub(self.cursor().get());
        // It has to get there one day: what comes no closer rests half as much, and finds its way
        // back to where it comes just closer.
        let comes_closer = lag < std::mem::replace(&mut self.lag, lag);
        self.rest = if comes_closer { (self.rest + 1).min(REST) } else { self.rest / 2 };
        if is_growing && lag > 0 {
            self.pause((took * self.rest).min(LONGEST_REST)).await?;
        }
        Ok(())
    }
}
