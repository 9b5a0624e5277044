//! Running the processes of an example, in memory or on Postgres.

use std::time::Duration;

use cqrs::process::ProcessesBuilder;
use cqrs::{App, Processes, app::Clock, process::ProcessStore, projection::StartError};

use crate::OpenReadStore;

/// A set of processes, handlers and recurring commands.
pub trait Automation {
    /// Adds all of them to a builder.
    fn add_to<S: ProcessStore>(self, processes: ProcessesBuilder<S>) -> ProcessesBuilder<S>;
}

impl OpenReadStore {
    /// Runs processes on this store. If this program stops, others take over after `lease`.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn run(
        self,
        app: &App,
        clock: impl Clock + Clone,
        lease: Duration,
        automation: impl Automation,
    ) -> Result<Processes, StartError> {
        Ok(match self {
            Self::Memory(process_store) => {
                let builder = Processes::builder(app, process_store).clock(clock).lease(lease);
                automation.add_to(builder).start().await?
            }
            Self::Postgres(process_store) => {
                let builder = Processes::builder(app, process_store).clock(clock).lease(lease);
                automation.add_to(builder).start().await?
            }
        })
    }
}
