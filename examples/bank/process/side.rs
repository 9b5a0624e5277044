//! The processes as a whole, at work.

use cqrs::{
    App, Clock, Instance, InstanceQuery, OperatorError, ProcessManager, ProcessStore, Processes,
    Projections, StartError,
};
use cqrs_memory::MemoryReadStore;
use cqrs_postgres::PgReadStore;
use example_store::OpenReadStore;

use super::{EndOfDay, FlagLargeWithdrawals, MoneyTransfer};
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
        Ok(match store {
            OpenReadStore::Memory(kept) => Self::Memory(run(app, clock, kept).await?),
            OpenReadStore::Postgres(kept) => Self::Postgres(run(app, clock, kept).await?),
        })
    }

    /// The processes as consumers of the log.
    #[must_use]
    pub const fn consumers(&self) -> &Projections {
        match self {
            Self::Memory(processes) => processes.consumers(),
            Self::Postgres(processes) => processes.consumers(),
        }
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

/// Everything that happens by itself in the bank.
async fn run<S: ProcessStore>(
    app: &App,
    clock: impl Clock + Clone,
    kept: S,
) -> Result<Processes<S>, StartError> {
    Processes::builder(app.clone(), kept)
        .clock(clock)
        .process(MoneyTransfer)
        .handler(FlagLargeWithdrawals::default())
        .schedule(EndOfDay)
        .start()
        .await
}
