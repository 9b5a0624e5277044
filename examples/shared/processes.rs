//! What happens by itself in an example, in memory or on Postgres.

use std::time::Duration;

use cqrs::process::ProcessesBuilder;
use cqrs::{App, Processes, app::Clock, process::ProcessStore, projection::StartError};

use crate::OpenReadStore;

/// Processes, handlers and schedules that go together.
pub trait Automation {
    /// Adds all of them.
    fn add_to<S: ProcessStore>(self, processes: ProcessesBuilder<S>) -> ProcessesBuilder<S>;
}

impl OpenReadStore {
    /// Runs processes that are kept here. Others take over when they are silent for a `lease`.
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
            Self::Memory(kept) => {
                let builder = Processes::builder(app, kept).clock(clock).lease(lease);
                automation.add_to(builder).start().await?
            }
            Self::Postgres(kept) => {
                let builder = Processes::builder(app, kept).clock(clock).lease(lease);
                automation.add_to(builder).start().await?
            }
        })
    }
}
