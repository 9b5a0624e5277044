//! Leases of partitions, and the transactions under them.

use std::time::Duration;

use cqrs_core::event::Uuid;
use cqrs_core::projection::store::{
    Capability, Cluster, CommitError, ConsumerName, ConsumerRecord, Failure, Partition,
    PartitionLease,
};
use cqrs_core::{Position, store::StoreError};
use sqlx::Row;

use super::database::{Database, PgReadTransaction, execute, query};
use super::rows::{json, single, to_json};
use crate::Pg;
use crate::database::arguments::arguments;
use crate::database::error::{is_rolled_back, store_error};
use crate::database::numbers::{int, micros, signed, unsigned};

/// How long a transaction may be idle before the server ends it: the default duration of a lease.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

impl Database {
    pub(super) async fn heartbeat(
        &self,
        node: Uuid,
        lease: Duration,
        capabilities: &[Capability],
        progress: &[PartitionLease],
    ) -> Result<Cluster, StoreError> {
        let leases = progress.iter();
        let generations: Vec<i64> =
            leases.clone().map(|lease| signed(lease.partition.generation)).collect();
        let numbers: Vec<i32> = leases.clone().map(|lease| int(lease.partition.number)).collect();
        let epochs: Vec<i64> = leases.clone().map(|lease| signed(lease.epoch)).collect();
        let positions: Vec<Pg<Position>> = leases.map(|lease| Pg(lease.position)).collect();
        let given = arguments![
            Pg(node),
            micros(lease),
            to_json(capabilities)?,
            &*self.prefix,
            generations,
            numbers,
            epochs,
            positions
        ];
        let rows = self.fetch(&self.sql.heartbeat, given).await?;
        json(&single::<String>(&rows)?)
    }

    pub(super) async fn leave(&self, node: Uuid) -> Result<(), StoreError> {
        self.fetch(&self.sql.leave, arguments![Pg(node)]).await?;
        Ok(())
    }

    pub(super) async fn acquire(
        &self,
        node: Uuid,
        partition: &Partition,
    ) -> Result<Option<PartitionLease>, StoreError> {
        let (generation, number) = (signed(partition.generation), int(partition.number));
        let given = arguments![generation, number, Pg(node)];
        let rows = self.fetch(&self.sql.acquire, given).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let epoch = row.try_get(0).map_err(store_error)?;
        let Pg(position) = row.try_get(1).map_err(store_error)?;
        Ok(Some(PartitionLease::new(partition.clone(), unsigned(epoch), position)))
    }

    pub(super) async fn release(&self, lease: &PartitionLease) -> Result<(), StoreError> {
        let (generation, number) =
            (signed(lease.partition.generation), int(lease.partition.number));
        let given = arguments![generation, number, signed(lease.epoch)];
        self.fetch(&self.sql.release, given).await?;
        Ok(())
    }

    /// Begins a transaction that may write to a partition.
    pub(super) async fn begin_under(
        &self,
        lease: &PartitionLease,
    ) -> Result<PgReadTransaction, StoreError> {
        let Self { sql, prefix, durable, .. } = self;
        let begin = format!(
            "{}{}, {}, {}, '{prefix}', {}, {durable})",
            sql.begin_partition,
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            IDLE_TIMEOUT.as_millis(),
        );
        self.begin_with(&begin).await
    }

    /// Moves the checkpoint and commits.
    pub(super) async fn commit(
        &self,
        mut tx: PgReadTransaction,
        lease: &PartitionLease,
        through: Position,
    ) -> Result<(), CommitError> {
        let given = arguments![
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            Pg(lease.position),
            Pg(through),
        ];
        let committed = async {
            // Also detects a failed statement whose error the projector did not return: the commit
            // would only answer that it rolled back, which the driver does not report.
            let advanced = query(&self.sql.advance, given)
                .map_err(|error| sqlx::Error::Encode(error.into()))?
                .execute(&mut *tx)
                .await?;
            if advanced.rows_affected() == 0 {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        };
        match committed.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(CommitError::Lost),
            Err(error) if is_rolled_back(&error) => Err(CommitError::Failed(error.into())),
            Err(error) => Err(CommitError::Unknown(store_error(error))),
        }
    }

    /// Lets the transaction of an append write to the live generation; `None` if there is none of
    /// this version. Returns the checkpoint.
    pub(super) async fn begin_inline(
        &self,
        tx: &mut PgReadTransaction,
        consumer: &ConsumerName,
        version: u32,
    ) -> Result<Option<Position>, StoreError> {
        let given = arguments![consumer.as_str(), int(version), &*self.prefix];
        let rows = execute(tx, &self.sql.begin_inline, given).await?;
        let position = single::<Option<Pg<Position>>>(&rows)?;
        Ok(position.map(|Pg(position)| position))
    }

    pub(super) async fn advance_inline(
        &self,
        tx: &mut PgReadTransaction,
        consumer: &ConsumerName,
        through: Position,
    ) -> Result<(), StoreError> {
        let given = arguments![consumer.as_str(), Pg(through)];
        execute(tx, &self.sql.advance_inline, given).await?;
        Ok(())
    }

    /// Records the failure of a partition, or that there is none any more.
    pub(super) async fn report(
        &self,
        lease: &PartitionLease,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError> {
        // JSON escapes NUL, which a column of type `json` stores and `jsonb` would not.
        let failure = failure.map(to_json).transpose()?;
        let given = arguments![
            signed(lease.partition.generation),
            int(lease.partition.number),
            signed(lease.epoch),
            failure,
        ];
        Ok(!self.fetch(&self.sql.report, given).await?.is_empty())
    }

    pub(super) async fn set_paused(
        &self,
        consumer: &ConsumerName,
        paused: bool,
    ) -> Result<bool, StoreError> {
        let given = arguments![consumer.as_str(), paused];
        let known = !self.fetch(&self.sql.pause, given).await?.is_empty();
        if !paused {
            let given = arguments![consumer.as_str()];
            self.fetch(&self.sql.clear_failure, given).await?;
        }
        Ok(known)
    }

    pub(super) async fn inspect(
        &self,
        consumer: Option<&ConsumerName>,
    ) -> Result<Vec<ConsumerRecord>, StoreError> {
        let only = consumer.map(ConsumerName::as_str);
        let rows = self.fetch(&self.sql.inspect, arguments![&*self.prefix, only]).await?;
        json(&single::<String>(&rows)?)
    }
}
