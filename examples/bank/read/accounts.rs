//! The accounts, with what users know about them.

use cqrs::event::Uuid;
use cqrs::{Projector, ReadModel, Recorded, Timestamp, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{Pg, PgReadStore, PgReadTransaction};
use rpds::HashTrieMapSync;
use sqlx::Row;

use super::query::{QueryError, cents};
use crate::domain::{AccountEvent, AccountId, Money};

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The id.
    pub id: AccountId,
    /// The name of the owner.
    pub owner: String,
    /// The balance.
    pub balance: Money,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Whether it is closed.
    pub closed: bool,
}

/// What an event changes in the rows.
enum Change<'e> {
    Open(AccountId, &'e str, Money, Timestamp),
    Balance(AccountId, Money),
    Close(AccountId),
}

const fn change(event: &AccountEvent) -> Change<'_> {
    match event {
        AccountEvent::AccountOpened { account_id, owner, initial_balance, opened_at } => {
            Change::Open(*account_id, owner.as_str(), *initial_balance, *opened_at)
        }
        AccountEvent::MoneyDeposited { account_id, new_balance, .. }
        | AccountEvent::MoneyWithdrawn { account_id, new_balance, .. } => {
            Change::Balance(*account_id, *new_balance)
        }
        AccountEvent::AccountClosed { account_id, .. } => Change::Close(*account_id),
    }
}

/// Every account with its balance.
#[derive(Clone, Copy, Debug, Default, ReadModel)]
#[read_model(name = "accounts", version = 1, event = AccountEvent)]
pub struct Accounts;

/// Rows with the position of the event that opened the account, which orders them.
#[derive(Clone, Default)]
pub(super) struct Model(HashTrieMapSync<AccountId, (u64, AccountRow)>);

impl Model {
    pub(super) fn all(&self) -> Vec<AccountRow> {
        let mut rows: Vec<_> = self.0.values().cloned().collect();
        rows.sort_by_key(|(position, _)| *position);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    pub(super) fn find(&self, id: AccountId) -> Option<AccountRow> {
        self.0.get(&id).map(|(_, row)| row.clone())
    }
}

impl Projector<MemoryReadStore> for Accounts {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<AccountEvent>,
    ) -> Result<(), ProjectError> {
        let rows = &mut tx.model::<Model>()?.0;
        match change(&event.event) {
            Change::Open(id, owner, balance, opened_at) => {
                let owner = owner.to_owned();
                let row = AccountRow { id, owner, balance, opened_at, closed: false };
                rows.insert_mut(id, (event.position.get(), row));
            }
            Change::Balance(id, balance) => {
                if let Some((_, row)) = rows.get_mut(&id) {
                    row.balance = balance;
                }
            }
            Change::Close(id) => {
                if let Some((_, row)) = rows.get_mut(&id) {
                    row.closed = true;
                }
            }
        }
        Ok(())
    }
}

impl Projector<PgReadStore> for Accounts {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table accounts (
            id uuid primary key,
            owner text not null,
            balance numeric(20,2) not null,
            opened_at timestamptz not null,
            closed boolean not null default false,
            position bigint not null
        )";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<AccountEvent>,
    ) -> Result<(), ProjectError> {
        match change(&event.event) {
            Change::Open(id, owner, balance, opened_at) => {
                let open = "insert into accounts (id, owner, balance, opened_at, position)
                    values ($1, $2, $3 / 100::numeric, $4, $5)";
                sqlx::query(open)
                    .bind(Pg(id.as_uuid()))
                    .bind(owner)
                    .bind(cents(balance))
                    .bind(Pg(opened_at))
                    .bind(Pg(event.position))
                    .execute(&mut **tx)
                    .await?;
            }
            Change::Balance(id, balance) => {
                let set = "update accounts set balance = $2 / 100::numeric where id = $1";
                let set = sqlx::query(set).bind(Pg(id.as_uuid())).bind(cents(balance));
                set.execute(&mut **tx).await?;
            }
            Change::Close(id) => {
                let close = "update accounts set closed = true where id = $1";
                sqlx::query(close).bind(Pg(id.as_uuid())).execute(&mut **tx).await?;
            }
        }
        Ok(())
    }
}

/// Returns all rows, or one.
pub(super) async fn query(
    read: &PgReadStore,
    only: Option<AccountId>,
) -> Result<Vec<AccountRow>, QueryError> {
    let mut tx = read.begin_read("accounts").await?;
    let all = "select id, owner, (balance * 100)::bigint, opened_at, closed
        from accounts where $1 is null or id = $1 order by position";
    let rows = sqlx::query(all).bind(only.map(|id| Pg(id.as_uuid()))).fetch_all(&mut *tx).await?;
    let row = |row: sqlx::postgres::PgRow| -> Result<AccountRow, sqlx::Error> {
        let (Pg(id), Pg(opened_at)) = (row.try_get::<Pg<Uuid>, _>(0)?, row.try_get(3)?);
        Ok(AccountRow {
            id: id.into(),
            owner: row.try_get(1)?,
            balance: Money::cents(row.try_get(2)?),
            opened_at,
            closed: row.try_get(4)?,
        })
    };
    Ok(rows.into_iter().map(row).collect::<Result<_, _>>()?)
}
