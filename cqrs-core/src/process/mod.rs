//! Processes: conversations between aggregates that survive a crash at any step.
//!
//! A [`ProcessManager`] takes in events, one instance at a time, and says what is to be done as
//! data: commands, timers, an end. State, checkpoint and what is to be done are one transaction;
//! [`Processes`] then does it.

mod builder;
mod desk;
mod destinations;
mod effects;
mod exchange;
mod handler;
mod manager;
mod operator;
mod options;
mod outbox;
mod projector;
mod records;
mod recurring;
mod scheduled;
mod store;
#[cfg(test)]
mod tests;
pub mod turn;

pub use builder::ProcessesBuilder;
pub use destinations::Destinations;
pub use effects::{Effects, RejectedCommand, Timeout};
pub use handler::{EventHandler, HandlerContext, HandlerError};
pub use manager::{ProcessManager, Route};
pub use options::{HandlerOptions, ProcessOptions};
pub use records::{
    Instance, InstanceStatus, OperatorAction, OutgoingCommand, PendingWork, Request, Timer,
};
pub use recurring::{MissedTicks, RecurringCommand};
pub use scheduled::{CancelError, CommandScheduler, ScheduleError, ScheduledCommand};
pub use store::{InstanceQuery, ProcessStore};

use crate::App;
use crate::projection::{OperatorError, Projections};

/// Runs processes. Dropping the last clone ends them; what is not done is done by another process
/// of the application, or at the next start.
#[derive(Clone, Debug)]
pub struct Processes<S> {
    projections: Projections,
    store: S,
}

impl<S: ProcessStore> Processes<S> {
    /// Over an application, whose commands are sent and whose log is followed.
    pub fn builder(app: App, store: S) -> ProcessesBuilder<S> {
        ProcessesBuilder::new(app, store)
    }

    /// The processes as consumers of the log: their health and how far they have got; to wait for
    /// one, to pause it.
    #[must_use]
    pub const fn consumers(&self) -> &Projections {
        &self.projections
    }

    /// Instances, by id.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn instances(
        &self,
        process: &str,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, OperatorError> {
        let name = self.projections.known(process)?;
        Ok(self.store.list_instances(&name, query).await?)
    }

    /// Asks an instance to go on that waits for an operator: its commands are sent again, then the
    /// events that wait are taken in. Says whether it is there.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn retry(&self, process: &str, instance: &str) -> Result<bool, OperatorError> {
        self.request(process, instance, OperatorAction::Retry).await
    }

    /// Asks an instance to end; its commands, timers and waiting events are forgotten. Says whether
    /// it is there.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn end(&self, process: &str, instance: &str) -> Result<bool, OperatorError> {
        self.request(process, instance, OperatorAction::End).await
    }

    async fn request(
        &self,
        process: &str,
        instance: &str,
        action: OperatorAction,
    ) -> Result<bool, OperatorError> {
        let name = self.projections.known(process)?;
        let request = Request { instance: instance.to_owned(), action };
        let is_there = self.store.request(&name, &request).await?;
        self.projections.wake();
        Ok(is_there)
    }

    /// Stops after what is being done, and gives everything back.
    pub async fn stop(&self) {
        self.projections.stop().await;
    }
}
