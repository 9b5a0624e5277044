//! Monthly statements: what was paid into and out of an account in a month.
//!
//! The key is the account and the month instead of the stream, so two months of an account can be
//! projected at the same time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use cqrs::{Projector, ReadModel, Recorded, Timestamp, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{Pg, PgReadStore, PgReadTransaction};
use rpds::HashTrieMapSync;
use sqlx::Row;

use super::query::{QueryError, cents};
use crate::domain::{AccountEvent, AccountId, Money};

/// A month in UTC, such as `2026-03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month([u8; 7]);

impl Month {
    /// Returns the month that contains a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let mut month = *b"0000-00";
        for (to, from) in month.iter_mut().zip(moment.to_string().bytes()) {
            *to = from;
        }
        Self(month)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = format!("{text}-01T00:00:00Z").parse().map(Self::of);
        moment.map_err(|_| "not a month such as 2026-03".to_owned())
    }
}

/// What was paid into and out of an account in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The account.
    pub account_id: AccountId,
    /// The month.
    pub month: Month,
    /// The balance before the first entry.
    pub opening: Money,
    /// The sum of all deposits.
    pub paid_in: Money,
    /// The sum of all withdrawals.
    pub paid_out: Money,
    /// The balance after the last entry.
    pub closing: Money,
    /// The number of entries.
    pub entries: u64,
}

/// What an event adds to a statement.
struct Change {
    account_id: AccountId,
    month: Month,
    paid_in: Money,
    paid_out: Money,
    closing: Money,
}

impl Change {
    fn of(event: &AccountEvent) -> Option<Self> {
        let (account_id, at, paid_in, paid_out, closing) = match *event {
            AccountEvent::AccountOpened { account_id, initial_balance, opened_at, .. } => {
                (account_id, opened_at, initial_balance, Money::ZERO, initial_balance)
            }
            AccountEvent::MoneyDeposited { account_id, amount, new_balance, at, .. } => {
                (account_id, at, amount, Money::ZERO, new_balance)
            }
            AccountEvent::MoneyWithdrawn { account_id, amount, new_balance, at, .. } => {
                (account_id, at, Money::ZERO, amount, new_balance)
            }
            AccountEvent::AccountClosed { .. } => return None,
        };
        Some(Self { account_id, month: Month::of(at), paid_in, paid_out, closing })
    }

    /// Returns the balance before this entry. The rules of accounts rule out an overflow.
    fn opening(&self) -> Money {
        let change = self.paid_in.checked_sub(self.paid_out);
        change.and_then(|change| self.closing.checked_sub(change)).unwrap_or(Money::ZERO)
    }

    fn begin(&self) -> Statement {
        Statement {
            account_id: self.account_id,
            month: self.month,
            opening: self.opening(),
            paid_in: self.paid_in,
            paid_out: self.paid_out,
            closing: self.closing,
            entries: 1,
        }
    }
}

fn key(event: &Recorded<AccountEvent>) -> Cow<'_, str> {
    match Change::of(&event.event) {
        Some(change) => Cow::Owned(format!("{}/{}", change.account_id, change.month)),
        None => Cow::Borrowed(event.stream.as_str()),
    }
}

/// The monthly statement of every account.
#[derive(Clone, Copy, Debug, Default, ReadModel)]
#[read_model(name = "statements", version = 1, event = AccountEvent, key = key)]
pub struct Statements;

#[derive(Clone, Default)]
pub(super) struct Model(HashTrieMapSync<(AccountId, Month), Statement>);

impl Model {
    pub(super) fn find(&self, account: AccountId, month: Month) -> Option<Statement> {
        self.0.get(&(account, month)).copied()
    }
}

impl Projector<MemoryReadStore> for Statements {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<AccountEvent>,
    ) -> Result<(), ProjectError> {
        let Some(change) = Change::of(&event.event) else { return Ok(()) };
        let rows = &mut tx.model::<Model>()?.0;
        let place = (change.account_id, change.month);
        match rows.get_mut(&place) {
            None => rows.insert_mut(place, change.begin()),
            Some(row) => {
                let sum = |sum: Money, more| {
                    sum.checked_add(more).ok_or("the sum of a month is too large")
                };
                row.paid_in = sum(row.paid_in, change.paid_in)?;
                row.paid_out = sum(row.paid_out, change.paid_out)?;
                row.closing = change.closing;
                row.entries += 1;
            }
        }
        Ok(())
    }
}

impl Projector<PgReadStore> for Statements {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table statements (
            account_id uuid,
            month text,
            opening numeric(20,2) not null,
            paid_in numeric(20,2) not null,
            paid_out numeric(20,2) not null,
            closing numeric(20,2) not null,
            entries bigint not null,
            primary key (account_id, month)
        )";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<AccountEvent>,
    ) -> Result<(), ProjectError> {
        let Some(change) = Change::of(&event.event) else { return Ok(()) };
        let add = "insert into statements as existing values
              ($1, $2, $3 / 100::numeric, $4 / 100::numeric, $5 / 100::numeric,
               $6 / 100::numeric, 1)
            on conflict (account_id, month) do update set
              paid_in = existing.paid_in + excluded.paid_in,
              paid_out = existing.paid_out + excluded.paid_out,
              closing = excluded.closing,
              entries = existing.entries + 1";
        sqlx::query(add)
            .bind(Pg(change.account_id.as_uuid()))
            .bind(change.month.to_string())
            .bind(cents(change.opening()))
            .bind(cents(change.paid_in))
            .bind(cents(change.paid_out))
            .bind(cents(change.closing))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// Returns one statement.
pub(super) async fn query(
    read: &PgReadStore,
    account_id: AccountId,
    month: Month,
) -> Result<Option<Statement>, QueryError> {
    let mut tx = read.begin_read("statements").await?;
    let one = "select (opening * 100)::bigint, (paid_in * 100)::bigint, (paid_out * 100)::bigint,
            (closing * 100)::bigint, entries
        from statements where account_id = $1 and month = $2";
    let one = sqlx::query(one).bind(Pg(account_id.as_uuid())).bind(month.to_string());
    let Some(row) = one.fetch_optional(&mut *tx).await? else { return Ok(None) };
    let money =
        |column: usize| -> Result<Money, sqlx::Error> { Ok(Money::cents(row.try_get(column)?)) };
    Ok(Some(Statement {
        account_id,
        month,
        opening: money(0)?,
        paid_in: money(1)?,
        paid_out: money(2)?,
        closing: money(3)?,
        entries: u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or(0),
    }))
}
