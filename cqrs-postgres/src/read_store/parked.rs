//! Parked events.

use cqrs_core::projection::store::{ConsumerName, Failure, ParkedEvent, PartitionLease};
use cqrs_core::{Position, store::StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::database::{Database, PgReadTransaction, execute};
use super::rows::text;
use crate::Pg;
use crate::database::arguments::arguments;
use crate::database::error::store_error;
use crate::database::numbers::{int, signed};

impl Database {
    pub(super) async fn park(
        &self,
        tx: &mut PgReadTransaction,
        lease: &PartitionLease,
        event: &ParkedEvent,
    ) -> Result<(), StoreError> {
        let given = arguments![
            signed(lease.partition.generation),
            Pg(event.position),
            int(lease.partition.number),
            // A key is only compared with itself.
            text(&event.key),
            event.error.as_deref().map(text),
            int(event.attempts),
            Pg(event.parked_at),
        ];
        execute(tx, &self.sql.park, given).await?;
        Ok(())
    }

    pub(super) async fn unpark(
        &self,
        tx: &mut PgReadTransaction,
        lease: &PartitionLease,
        position: Position,
    ) -> Result<(), StoreError> {
        let given = arguments![signed(lease.partition.generation), Pg(position)];
        execute(tx, &self.sql.unpark, given).await?;
        Ok(())
    }

    pub(super) async fn parked(
        &self,
        consumer: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let given = arguments![consumer.as_str(), signed(generation), number.map(int)];
        let rows = self.fetch(&self.sql.parked, given).await?;
        rows.iter().map(|row| parked_event(row).map_err(store_error)).collect()
    }

    pub(super) async fn request_retry(
        &self,
        consumer: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError> {
        let given = arguments![consumer.as_str(), key];
        Ok(self.fetch(&self.sql.request_retry, given).await?.len() as u64)
    }

    pub(super) async fn retried(
        &self,
        lease: &PartitionLease,
        key: &str,
        failed: Option<&Failure>,
    ) -> Result<(), StoreError> {
        let given = arguments![
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            key,
            failed.map(|failure| Pg(failure.position)),
            failed.map(|failure| text(&failure.error)),
            failed.map(|failure| int(failure.attempts)),
        ];
        self.fetch(&self.sql.retried, given).await?;
        Ok(())
    }

    pub(super) async fn discard(
        &self,
        consumer: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let given = arguments![consumer.as_str(), Pg(position), text(reason)];
        Ok(!self.fetch(&self.sql.discard, given).await?.is_empty())
    }
}

fn parked_event(row: &PgRow) -> Result<ParkedEvent, sqlx::Error> {
    let (Pg(position), Pg(parked_at)) = (row.try_get(0)?, row.try_get(4)?);
    Ok(ParkedEvent {
        position,
        key: row.try_get(1)?,
        error: row.try_get(2)?,
        attempts: u32::try_from(row.try_get::<i32, _>(3)?).unwrap_or(0),
        parked_at,
        retry_requested: row.try_get(5)?,
        discarded: row.try_get(6)?,
    })
}
