//! The bank's running processes.

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

/// The bank's running processes and handlers.
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
    /// How long a node may go without renewing its leases before another one takes over.
    pub const LEASE: Duration = Duration::from_secs(3);

    /// Starts all processes and handlers. They continue with the work that was left at the last stop.
    ///
    /// # Errors
    /// [`StartError`] if the store fails.
    pub async fn start(
        app: &App,
        clock: impl Clock + Clone,
        lease: Duration,
        store: OpenReadStore,
    ) -> Result<Self, StartError> {
        Ok(Self { running: store.run(app, clock, lease, Everything).await? })
    }

    /// Returns the handle to the processes and handlers.
    #[must_use]
    pub const fn processes(&self) -> &Processes {
        &self.running
    }

    /// Returns the process instance of a transfer, or `None` if it has not started.
    ///
    /// # Errors
    /// [`OperatorError`] if the store fails.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Instance>, OperatorError> {
        Ok(self.running.instances(MoneyTransfer::NAME, &InstanceQuery::page().id(id)).await?.pop())
    }

    /// Stops all processes and handlers. The next start continues with their work.
    pub async fn stop(&self) {
        self.running.stop().await;
    }
}
