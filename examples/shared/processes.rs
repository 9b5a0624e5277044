//! What happens by itself in an example, in memory or on Postgres.

use std::time::Duration;

use cqrs::memory::MemoryReadStore;
use cqrs::postgres::PgReadStore;
use cqrs::process::ProcessesBuilder;
use cqrs::{
    App, Processes, Projections,
    app::Clock,
    process::{Instance, InstanceQuery, ProcessStore},
    projection::{OperatorError, StartError},
};

use crate::OpenReadStore;

/// Processes, handlers and schedules that go together.
pub trait Automation {
    /// Adds all of them.
    fn add_to<S: ProcessStore>(self, processes: ProcessesBuilder<S>) -> ProcessesBuilder<S>;
}

/// Processes at work.
#[derive(Clone, Debug)]
pub enum OpenProcesses {
    /// In memory.
    Memory(Processes<MemoryReadStore>),
    /// On Postgres.
    Postgres(Processes<PgReadStore>),
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
    ) -> Result<OpenProcesses, StartError> {
        Ok(match self {
            Self::Memory(kept) => {
                let builder = Processes::builder(app, kept).clock(clock).lease(lease);
                OpenProcesses::Memory(automation.add_to(builder).start().await?)
            }
            Self::Postgres(kept) => {
                let builder = Processes::builder(app, kept).clock(clock).lease(lease);
                OpenProcesses::Postgres(automation.add_to(builder).start().await?)
            }
        })
    }
}

impl OpenProcesses {
    /// As consumers of the log.
    #[must_use]
    pub const fn consumers(&self) -> &Projections {
        match self {
            Self::Memory(processes) => processes.consumers(),
            Self::Postgres(processes) => processes.consumers(),
        }
    }

    /// One instance of a process.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn instance(
        &self,
        process: &str,
        id: impl ToString,
    ) -> Result<Option<Instance>, OperatorError> {
        let query = InstanceQuery::page().id(id);
        let mut found = match self {
            Self::Memory(processes) => processes.instances(process, &query).await?,
            Self::Postgres(processes) => processes.instances(process, &query).await?,
        };
        Ok(found.pop())
    }

    /// Stops them; what is under way goes on with the next start.
    pub async fn stop(&self) {
        match self {
            Self::Memory(processes) => processes.stop().await,
            Self::Postgres(processes) => processes.stop().await,
        }
    }
}
