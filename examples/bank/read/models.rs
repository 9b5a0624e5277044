//! All read models together: running projectors, and queries.

use std::sync::Arc;
use std::time::Duration;

use cqrs::{
    App, Projections,
    projection::{OperatorError, StartError},
};
use cqrs_memory::{MemoryReadStore, MemoryView};
use cqrs_postgres::PgReadStore;
use example_shared::OpenReadStore;

use super::accounts::{self, AccountRow, Accounts};
use super::feed::{self, Feed, FeedEntry};
use super::query::QueryError;
use super::statements::{self, Month, Statement, Statements};
use super::transfers::{self, TransferRow, Transfers};
use crate::domain::{AccountId, TransferId};

/// The running read models of the bank, in memory or in Postgres.
#[derive(Clone, Debug)]
pub struct ReadModels {
    projections: Projections,
    tables: Tables,
}

/// Where the rows are stored.
#[derive(Clone, Debug)]
enum Tables {
    Memory(Views),
    Postgres(PgReadStore),
}

#[derive(Clone, Debug)]
struct Views {
    accounts: MemoryView<accounts::Model>,
    transfers: MemoryView<transfers::Model>,
    feed: MemoryView<feed::Model>,
    statements: MemoryView<statements::Model>,
}

impl ReadModels {
    /// The names of the read models.
    pub const NAMES: [&str; 4] = ["accounts", "transfers", "feed", "statements"];

    /// Starts the projectors, which build the read models that do not exist yet.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(app: &App, store: OpenReadStore) -> Result<Self, StartError> {
        let (projections, tables) = match store {
            OpenReadStore::Memory(read) => {
                let tables = Tables::Memory(Views::of(&read));
                let builder = Projections::builder(app, read)
                    .projector(Accounts)
                    .projector(Transfers)
                    .projector(Feed)
                    .projector(Statements);
                (builder.start().await?, tables)
            }
            OpenReadStore::Postgres(read) => {
                let tables = Tables::Postgres(read.clone());
                let builder = Projections::builder(app, read)
                    .projector(Accounts)
                    .projector(Transfers)
                    .projector(Feed)
                    .projector(Statements);
                (builder.start().await?, tables)
            }
        };
        Ok(Self { projections, tables })
    }

    /// Returns the projections, for waiting, health and rebuilds.
    #[must_use]
    pub const fn projections(&self) -> &Projections {
        &self.projections
    }

    /// Returns all accounts, the oldest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, QueryError> {
        match &self.tables {
            Tables::Memory(views) => Ok(built(&views.accounts)?.all()),
            Tables::Postgres(read) => accounts::query(read, None).await,
        }
    }

    /// Returns one account.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, QueryError> {
        match &self.tables {
            Tables::Memory(views) => Ok(built(&views.accounts)?.find(id)),
            Tables::Postgres(read) => Ok(accounts::query(read, Some(id)).await?.pop()),
        }
    }

    /// Returns up to `limit` transfers, the newest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn transfers(&self, limit: usize) -> Result<Vec<TransferRow>, QueryError> {
        match &self.tables {
            Tables::Memory(views) => Ok(built(&views.transfers)?.newest(limit)),
            Tables::Postgres(read) => transfers::query(read, None, limit).await,
        }
    }

    /// Returns one transfer.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, QueryError> {
        match &self.tables {
            Tables::Memory(views) => Ok(built(&views.transfers)?.find(id)),
            Tables::Postgres(read) => Ok(transfers::query(read, Some(id), 1).await?.pop()),
        }
    }

    /// Returns up to `limit` events, the newest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn feed(&self, limit: usize) -> Result<Vec<FeedEntry>, QueryError> {
        match &self.tables {
            Tables::Memory(views) => Ok(built(&views.feed)?.newest(limit)),
            Tables::Postgres(read) => feed::query(read, limit).await,
        }
    }

    /// Returns a statement, or `None` for a month without entries.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn statement(
        &self,
        account: AccountId,
        month: Month,
    ) -> Result<Option<Statement>, QueryError> {
        match &self.tables {
            Tables::Memory(views) => Ok(built(&views.statements)?.find(account, month)),
            Tables::Postgres(read) => statements::query(read, account, month).await,
        }
    }

    /// Waits until all read models are built. Returns `false` if that takes longer than `within`.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn wait_until_built(&self, within: Duration) -> Result<bool, OperatorError> {
        for name in Self::NAMES {
            if !self.projections.wait_until_built(name, within).await? {
                return Ok(false);
            }
        }
        Ok(true)
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
