//! The bank's processes as a whole, at work.

use std::time::Duration;

use cqrs::process::ProcessesBuilder;
use cqrs::{
    App, ProcessManager, Processes,
    app::Clock,
    process::{Instance, InstanceQuery, ProcessStore},
    projection::{OperatorError, StartError},
};
use example_shared::{Automation, OpenReadStore};

use super::{EndOfDay, FlagLargeWithdrawals, MoneyTransfer};
use crate::domain::TransferId;

/// Everything that happens by itself in the bank, at work.
#[derive(Clone, Debug)]
pub struct ProcessSide {
    running: Processes,
}

struct Everything;

impl Automation for Everything {
    fn add_to<S: ProcessStore>(self, processes: ProcessesBuilder<S>) -> ProcessesBuilder<S> {
        processes
            .process(MoneyTransfer)
            .handler(FlagLargeWithdrawals::default())
            .recurring(EndOfDay)
    }
}

impl ProcessSide {
    /// How long a bank may be silent before another one takes over.
    pub const LEASE: Duration = Duration::from_secs(3);

    /// Starts everything. What was not done when the bank was closed is done now.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        app: &App,
        clock: impl Clock + Clone,
        lease: Duration,
        store: OpenReadStore,
    ) -> Result<Self, StartError> {
        Ok(Self { running: store.run(app, clock, lease, Everything).await? })
    }

    /// Returns the handle to its processes and handlers.
    #[must_use]
    pub const fn processes(&self) -> &Processes {
        &self.running
    }

    /// What a transfer's process remembers, once it has begun.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Instance>, OperatorError> {
        Ok(self.running.instances(MoneyTransfer::NAME, &InstanceQuery::page().id(id)).await?.pop())
    }

    /// Stops everything; what is under way goes on with the next start.
    pub async fn stop(&self) {
        self.running.stop().await;
    }
}
