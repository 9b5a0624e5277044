//! The read side as a whole: its projectors at work, and the queries.

use std::sync::Arc;
use std::time::Duration;

use cqrs::projection::{OperatorError, RebuildError};
use cqrs::{EventStore, Health, Projections, StartError, UnknownProjector, Waiter};
use cqrs_memory::{MemoryReadStore, MemoryView};
use cqrs_postgres::PgReadStore;
use example_store::OpenReadStore;

use super::{
    AccountRow, Accounts, AccountsInMemory, Feed, FeedEntry, FeedInMemory, Month, Statement,
    Statements, StatementsInMemory, TransferRow, Transfers, TransfersInMemory, accounts, feed,
    statements, transfers,
};
use crate::domain::{AccountId, TransferId};

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The read model is being built for the first time.
    #[error("the read model is not there yet")]
    NotBuilt,
    /// The database did not answer.
    #[error("the read database did not answer")]
    Database(#[source] sqlx::Error),
    /// A column holds something that was never written.
    #[error("column `{column}` cannot be read")]
    Unreadable {
        /// Its name.
        column: &'static str,
    },
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        // The schema is not there before the first swap.
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some("42P01") { Self::NotBuilt } else { Self::Database(error) }
    }
}

/// The bank's read models at work, in memory or in Postgres.
#[derive(Clone, Debug)]
pub struct ReadSide(Side);

#[derive(Clone, Debug)]
enum Side {
    Memory(Projections<MemoryReadStore>, Views),
    Postgres(Projections<PgReadStore>),
}

#[derive(Clone, Debug)]
struct Views {
    accounts: MemoryView<accounts::Model>,
    transfers: MemoryView<transfers::Model>,
    feed: MemoryView<feed::Model>,
    statements: MemoryView<statements::Model>,
}

/// The same call on either side.
macro_rules! either {
    ($self:expr, $projections:ident => $call:expr) => {
        match &$self.0 {
            Side::Memory($projections, _) => $call,
            Side::Postgres($projections) => $call,
        }
    };
}

impl ReadSide {
    /// The names of the read models.
    pub const NAMES: [&str; 4] = ["accounts", "transfers", "feed", "statements"];

    /// Starts the projectors. What is missing is built.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        events: Arc<dyn EventStore>,
        store: OpenReadStore,
    ) -> Result<Self, StartError> {
        Ok(Self(match store {
            OpenReadStore::Memory(read) => {
                let views = Views::of(&read);
                let projections = Projections::builder(events, read)
                    .projector(AccountsInMemory)
                    .projector(TransfersInMemory)
                    .projector(FeedInMemory)
                    .projector(StatementsInMemory)
                    .start()
                    .await?;
                Side::Memory(projections, views)
            }
            OpenReadStore::Postgres(read) => {
                let projections = Projections::builder(events, read)
                    .projector(Accounts)
                    .projector(Transfers)
                    .projector(Feed)
                    .projector(Statements)
                    .start()
                    .await?;
                Side::Postgres(projections)
            }
        }))
    }

    /// All accounts, the oldest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, QueryError> {
        match &self.0 {
            Side::Memory(_, views) => Ok(built(&views.accounts)?.all()),
            Side::Postgres(p) => accounts::query(p.read_store(), None).await,
        }
    }

    /// One account.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, QueryError> {
        match &self.0 {
            Side::Memory(_, views) => Ok(built(&views.accounts)?.find(id)),
            Side::Postgres(p) => Ok(accounts::query(p.read_store(), Some(id)).await?.pop()),
        }
    }

    /// The newest transfers.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn transfers(&self, limit: usize) -> Result<Vec<TransferRow>, QueryError> {
        match &self.0 {
            Side::Memory(_, views) => Ok(built(&views.transfers)?.newest(limit)),
            Side::Postgres(p) => transfers::query(p.read_store(), None, limit).await,
        }
    }

    /// One transfer.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, QueryError> {
        match &self.0 {
            Side::Memory(_, views) => Ok(built(&views.transfers)?.find(id)),
            Side::Postgres(p) => Ok(transfers::query(p.read_store(), Some(id), 1).await?.pop()),
        }
    }

    /// What happened last, the newest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn feed(&self, limit: usize) -> Result<Vec<FeedEntry>, QueryError> {
        match &self.0 {
            Side::Memory(_, views) => Ok(built(&views.feed)?.newest(limit)),
            Side::Postgres(p) => feed::query(p.read_store(), limit).await,
        }
    }

    /// A statement; `None` for a month without entries.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn statement(
        &self,
        account: AccountId,
        month: Month,
    ) -> Result<Option<Statement>, QueryError> {
        match &self.0 {
            Side::Memory(_, views) => Ok(built(&views.statements)?.find(account, month)),
            Side::Postgres(p) => statements::query(p.read_store(), account, month).await,
        }
    }

    /// Something that waits for all read models.
    ///
    /// # Errors
    /// Never: all names are known.
    pub fn waiter(&self) -> Result<Waiter, UnknownProjector> {
        either!(self, projections => projections.waiter(Self::NAMES))
    }

    /// Waits until all read models are there.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn built(&self, within: Duration) -> Result<bool, OperatorError> {
        for name in Self::NAMES {
            if !either!(self, projections => projections.built(name, within).await)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How the read models are doing.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn health(&self) -> Result<Vec<Health>, OperatorError> {
        either!(self, projections => projections.health().await)
    }

    /// Builds a read model anew beside the one that is shown.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn rebuild(&self, name: &str) -> Result<(), RebuildError> {
        either!(self, projections => projections.rebuild(name).await)
    }

    /// Stops the projectors.
    pub async fn stop(&self) {
        either!(self, projections => projections.stop().await);
    }
}

impl Views {
    #[allow(clippy::expect_used)] // the names are constants
    fn of(read: &MemoryReadStore) -> Self {
        let name = "a projector's name";
        Self {
            accounts: read.view("accounts").expect(name),
            transfers: read.view("transfers").expect(name),
            feed: read.view("feed").expect(name),
            statements: read.view("statements").expect(name),
        }
    }
}

fn built<M: Send + Sync + 'static>(view: &MemoryView<M>) -> Result<Arc<M>, QueryError> {
    view.get().ok_or(QueryError::NotBuilt)
}
