//! The transfers and their progress.

use std::fmt;

use cqrs::event::Uuid;
use cqrs::{Projector, ReadModel, Recorded, Timestamp, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{Pg, PgReadStore, PgReadTransaction};
use rpds::HashTrieMapSync;
use sqlx::Row;

use super::query::{QueryError, cents};
use crate::domain::{AccountId, FailureReason, Money, TransferEvent, TransferId};

/// One transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRow {
    /// The id.
    pub id: TransferId,
    /// The account that pays.
    pub source_id: AccountId,
    /// The account that is paid.
    pub target_id: AccountId,
    /// The amount.
    pub amount: Money,
    /// The progress.
    pub status: TransferStatus,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it completed or failed.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, if it did.
    pub reason: Option<String>,
}

/// The progress of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStatus {
    /// Waiting for the source to be debited.
    Debiting,
    /// The source was debited; waiting for the target to be credited.
    Crediting,
    /// The target was credited.
    Done,
    /// The source was not debited, or was refunded.
    Failed,
}

impl TransferStatus {
    const fn name(self) -> &'static str {
        match self {
            Self::Debiting => "debiting",
            Self::Crediting => "crediting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Debiting, Self::Crediting, Self::Done, Self::Failed];
        all.into_iter().find(|status| status.name() == name)
    }
}

impl fmt::Display for TransferStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an event changes in the rows.
enum Change {
    Start(TransferRow),
    Step(TransferId, TransferStatus),
    Finish(TransferId, TransferStatus, Timestamp, Option<FailureReason>),
}

fn change(event: &TransferEvent) -> Change {
    match *event {
        TransferEvent::TransferStarted {
            transfer_id: id,
            source_id,
            target_id,
            amount,
            started_at,
        } => Change::Start(TransferRow {
            id,
            source_id,
            target_id,
            amount,
            status: TransferStatus::Debiting,
            started_at,
            finished_at: None,
            reason: None,
        }),
        TransferEvent::TransferDebited { transfer_id, .. } => {
            Change::Step(transfer_id, TransferStatus::Crediting)
        }
        TransferEvent::TransferCredited { transfer_id, at, .. } => {
            Change::Finish(transfer_id, TransferStatus::Done, at, None)
        }
        TransferEvent::TransferFailed { transfer_id, reason, at, .. } => {
            Change::Finish(transfer_id, TransferStatus::Failed, at, Some(reason))
        }
    }
}

/// Every transfer with its state.
#[derive(Clone, Copy, Debug, Default, ReadModel)]
#[read_model(name = "transfers", version = 1, event = TransferEvent)]
pub struct Transfers;

#[derive(Clone, Default)]
pub(super) struct Model(HashTrieMapSync<TransferId, TransferRow>);

impl Model {
    pub(super) fn find(&self, id: TransferId) -> Option<TransferRow> {
        self.0.get(&id).cloned()
    }

    pub(super) fn newest(&self, limit: usize) -> Vec<TransferRow> {
        let mut rows: Vec<_> = self.0.values().cloned().collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.started_at), row.id));
        rows.truncate(limit);
        rows
    }
}

impl Projector<MemoryReadStore> for Transfers {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<TransferEvent>,
    ) -> Result<(), ProjectError> {
        let rows = &mut tx.model::<Model>()?.0;
        match change(&event.event) {
            Change::Start(row) => rows.insert_mut(row.id, row),
            Change::Step(id, status) => {
                if let Some(row) = rows.get_mut(&id) {
                    row.status = status;
                }
            }
            Change::Finish(id, status, at, reason) => {
                if let Some(row) = rows.get_mut(&id) {
                    row.status = status;
                    row.finished_at = Some(at);
                    row.reason = reason.map(|reason| reason.to_string());
                }
            }
        }
        Ok(())
    }
}

impl Projector<PgReadStore> for Transfers {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        for statement in [
            "create table transfers (
                id uuid primary key,
                source_id uuid not null,
                target_id uuid not null,
                amount numeric(20,2) not null,
                status text not null,
                started_at timestamptz not null,
                finished_at timestamptz,
                reason text
            )",
            "create index on transfers (source_id)",
            "create index on transfers (target_id)",
            "create index on transfers (started_at desc, id)",
        ] {
            sqlx::query(statement).execute(&mut **tx).await?;
        }
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<TransferEvent>,
    ) -> Result<(), ProjectError> {
        match change(&event.event) {
            Change::Start(row) => {
                let start = "insert into transfers
                    (id, source_id, target_id, amount, status, started_at)
                    values ($1, $2, $3, $4 / 100::numeric, $5, $6)";
                sqlx::query(start)
                    .bind(Pg(row.id.as_uuid()))
                    .bind(Pg(row.source_id.as_uuid()))
                    .bind(Pg(row.target_id.as_uuid()))
                    .bind(cents(row.amount))
                    .bind(row.status.name())
                    .bind(Pg(row.started_at))
                    .execute(&mut **tx)
                    .await?;
            }
            Change::Step(id, status) => {
                let step = "update transfers set status = $2 where id = $1";
                let step = sqlx::query(step).bind(Pg(id.as_uuid())).bind(status.name());
                step.execute(&mut **tx).await?;
            }
            Change::Finish(id, status, at, reason) => {
                let finish = "update transfers
                    set status = $2, finished_at = $3, reason = $4 where id = $1";
                sqlx::query(finish)
                    .bind(Pg(id.as_uuid()))
                    .bind(status.name())
                    .bind(Pg(at))
                    .bind(reason.map(|reason| reason.to_string()))
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}

/// Returns up to `limit` transfers, the newest first, or one.
pub(super) async fn query(
    read: &PgReadStore,
    only: Option<TransferId>,
    limit: usize,
) -> Result<Vec<TransferRow>, QueryError> {
    let mut tx = read.begin_read("transfers").await?;
    let newest = "select id, source_id, target_id, (amount * 100)::bigint, status, started_at,
            finished_at, reason
        from transfers where $1 is null or id = $1
        order by started_at desc, id limit $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let only = only.map(|id| Pg(id.as_uuid()));
    let rows = sqlx::query(newest).bind(only).bind(limit).fetch_all(&mut *tx).await?;
    let row = |row: sqlx::postgres::PgRow| -> Result<TransferRow, QueryError> {
        let status = TransferStatus::named(row.try_get(4)?);
        let id = |column: usize| row.try_get(column).map(|Pg(id): Pg<Uuid>| id);
        let finished_at: Option<Pg<_>> = row.try_get(6)?;
        Ok(TransferRow {
            id: id(0)?.into(),
            source_id: id(1)?.into(),
            target_id: id(2)?.into(),
            amount: Money::cents(row.try_get(3)?),
            status: status.ok_or(QueryError::UnexpectedValue { column: "status" })?,
            started_at: row.try_get(5).map(|Pg(at)| at)?,
            finished_at: finished_at.map(|Pg(at)| at),
            reason: row.try_get(7)?,
        })
    };
    rows.into_iter().map(row).collect()
}
