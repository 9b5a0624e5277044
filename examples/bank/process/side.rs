//! The processes as a whole, at work.

use cqrs::{
    App, Clock, Instance, InstanceQuery, OperatorError, ProcessManager, Processes, StartError,
};
use cqrs_memory::MemoryReadStore;
use cqrs_postgres::PgReadStore;
use example_store::OpenReadStore;

use super::MoneyTransfer;
use crate::domain::TransferId;

/// The bank's processes at work, in memory or on Postgres.
#[derive(Clone, Debug)]
pub enum ProcessSide {
    /// In memory.
    Memory(Processes<MemoryReadStore>),
    /// On Postgres.
    Postgres(Processes<PgReadStore>),
}

impl ProcessSide {
    /// Starts them. What was not done when the bank was closed is done now.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        app: &App,
        clock: impl Clock + Clone,
        store: OpenReadStore,
    ) -> Result<Self, StartError> {
        let app = app.clone();
        Ok(match store {
            OpenReadStore::Memory(kept) => {
                let processes = Processes::builder(app, kept).clock(clock).process(MoneyTransfer);
                Self::Memory(processes.start().await?)
            }
            OpenReadStore::Postgres(kept) => {
                let processes = Processes::builder(app, kept).clock(clock).process(MoneyTransfer);
                Self::Postgres(processes.start().await?)
            }
        })
    }

    /// What a transfer's process remembers, once it has begun.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Instance>, OperatorError> {
        let query = InstanceQuery::one(id);
        let mut found = match self {
            Self::Memory(processes) => processes.instances(MoneyTransfer::NAME, &query).await?,
            Self::Postgres(processes) => processes.instances(MoneyTransfer::NAME, &query).await?,
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
