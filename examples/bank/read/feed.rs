//! The feed: events of accounts and transfers together.

use cqrs::{Event, Position, Projector, ReadModel, Recorded, Timestamp, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{Pg, PgReadStore, PgReadTransaction};
use rpds::RedBlackTreeMapSync;
use sqlx::Row;

use super::event::BankEvent;
use super::query::{QueryError, cents};
use crate::domain::{AccountEvent, Money, TransferEvent};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its position in the log.
    pub position: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The stored name of the event.
    pub name: String,
    /// The stream of the account or transfer.
    pub subject: String,
    /// The amount, if the event has one.
    pub amount: Option<Money>,
}

fn entry(recorded: &Recorded<BankEvent>) -> FeedEntry {
    let (at, amount) = match &recorded.event {
        BankEvent::Account(event) => match event {
            AccountEvent::AccountOpened { initial_balance, opened_at, .. } => {
                (*opened_at, Some(*initial_balance))
            }
            AccountEvent::MoneyDeposited { amount, at, .. }
            | AccountEvent::MoneyWithdrawn { amount, at, .. } => (*at, Some(*amount)),
            AccountEvent::AccountClosed { at, .. } => (*at, None),
        },
        BankEvent::Transfer(event) => match event {
            TransferEvent::TransferStarted { amount, started_at, .. } => {
                (*started_at, Some(*amount))
            }
            TransferEvent::TransferDebited { amount, at, .. }
            | TransferEvent::TransferCredited { amount, at, .. } => (*at, Some(*amount)),
            TransferEvent::TransferFailed { at, .. } => (*at, None),
        },
    };
    FeedEntry {
        position: recorded.position.get(),
        at,
        name: recorded.event.event_type().name().to_owned(),
        subject: recorded.stream.as_str().to_owned(),
        amount,
    }
}

/// The latest events of accounts and transfers.
#[derive(Clone, Copy, Debug, Default, ReadModel)]
#[read_model(name = "feed", version = 1, event = BankEvent)]
pub struct Feed;

#[derive(Clone, Default)]
pub(super) struct Model(RedBlackTreeMapSync<u64, FeedEntry>);

impl Model {
    pub(super) fn newest(&self, limit: usize) -> Vec<FeedEntry> {
        self.0.values().rev().take(limit).cloned().collect()
    }
}

impl Projector<MemoryReadStore> for Feed {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<BankEvent>,
    ) -> Result<(), ProjectError> {
        tx.model::<Model>()?.0.insert_mut(event.position.get(), entry(event));
        Ok(())
    }
}

impl Projector<PgReadStore> for Feed {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table feed (
            position bigint primary key,
            at timestamptz not null,
            name text not null,
            subject text not null,
            amount numeric(20,2)
        )";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<BankEvent>,
    ) -> Result<(), ProjectError> {
        Projector::<PgReadStore>::project_batch(self, tx, std::slice::from_ref(event)).await
    }

    async fn project_batch(
        &self,
        tx: &mut PgReadTransaction,
        events: &[Recorded<BankEvent>],
    ) -> Result<(), ProjectError> {
        let entries: Vec<_> = events.iter().map(entry).collect();
        let add = "insert into feed
            select position, at, name, subject, amount / 100::numeric
              from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[])
                as new (position, at, name, subject, amount)";
        let column = |of: fn(&FeedEntry) -> String| entries.iter().map(of).collect::<Vec<_>>();
        sqlx::query(add)
            .bind(events.iter().map(|event| Pg(event.position)).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| Pg(entry.at)).collect::<Vec<_>>())
            .bind(column(|entry| entry.name.clone()))
            .bind(column(|entry| entry.subject.clone()))
            .bind(entries.iter().map(|entry| entry.amount.map(cents)).collect::<Vec<_>>())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// Returns up to `limit` entries, the newest first.
pub(super) async fn query(read: &PgReadStore, limit: usize) -> Result<Vec<FeedEntry>, QueryError> {
    let mut tx = read.begin_read("feed").await?;
    let newest = "select position, at, name, subject, (amount * 100)::bigint
        from feed order by position desc limit $1";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sqlx::query(newest).bind(limit).fetch_all(&mut *tx).await?;
    let row = |row: sqlx::postgres::PgRow| -> Result<FeedEntry, sqlx::Error> {
        let (Pg(position), Pg(at)) = (row.try_get::<Pg<Position>, _>(0)?, row.try_get(1)?);
        Ok(FeedEntry {
            position: position.get(),
            at,
            name: row.try_get(2)?,
            subject: row.try_get(3)?,
            amount: row.try_get::<Option<i64>, _>(4)?.map(Money::cents),
        })
    };
    Ok(rows.into_iter().map(row).collect::<Result<_, _>>()?)
}
