//! Checkpoints of durable subscriptions, fenced by the epoch of the newest lease.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::event::Uuid;
use cqrs_core::{
    Position, Timestamp,
    store::StoreError,
    subscription::{
        AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease,
        SubscriptionName,
    },
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PgStore;
use crate::Pg;
use crate::database::arguments::{Arguments, arguments};
use crate::database::error::{corrupt, store_error};
use crate::database::numbers::{micros, signed, unsigned};

impl PgStore {
    /// Changes a subscription if the lease is the newest. May be executed twice.
    async fn change(
        &self,
        lease: &SubscriptionLease,
        sql: &Arc<str>,
        given: Arguments,
    ) -> Result<(), CheckpointError> {
        let name = || lease.name.clone();
        match self.database().connections.fetch(sql, given).await {
            Ok(rows) if rows.is_empty() => Err(CheckpointError::Lost { name: name() }),
            Ok(_) => Ok(()),
            Err(source) => Err(CheckpointError::Store { name: name(), source }),
        }
    }

    async fn checkpoints(&self, name: Option<&str>) -> Result<Vec<Checkpoint>, StoreError> {
        let database = self.database();
        let rows =
            database.connections.fetch(&database.sql.list_checkpoints, arguments![name]).await?;
        rows.iter().map(checkpoint).collect()
    }
}

#[async_trait]
impl CheckpointStore for PgStore {
    async fn acquire(
        &self,
        name: &SubscriptionName,
        start: Position,
        owner: Uuid,
        duration: Duration,
    ) -> Result<SubscriptionLease, AcquireError> {
        let database = self.database();
        let failed = |source| AcquireError::Store { name: name.clone(), source };
        loop {
            let given = arguments![name.as_str(), Pg(start), Pg(owner), micros(duration)];
            let rows = database.connections.fetch(&database.sql.acquire_checkpoint, given).await;
            let rows = rows.map_err(failed)?;
            if let Some(row) = rows.first() {
                let read = || Ok((row.try_get(0)?, row.try_get(1)?));
                let (epoch, Pg(position)) = read().map_err(store_error).map_err(failed)?;
                return Ok(SubscriptionLease::new(name.clone(), unsigned(epoch), position));
            }
            let listed = self.checkpoints(Some(name.as_str())).await.map_err(failed)?;
            // If it was released or deleted since, it is free.
            if let Some(until) = listed.first().and_then(|checkpoint| checkpoint.held_until) {
                return Err(AcquireError::Held { name: name.clone(), until });
            }
        }
    }

    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError> {
        let given = arguments![lease.name.as_str(), signed(lease.epoch), micros(duration)];
        self.change(lease, &self.database().sql.renew_checkpoint, given).await
    }

    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError> {
        let given = arguments![lease.name.as_str(), signed(lease.epoch), Pg(position)];
        self.change(lease, &self.database().sql.save_checkpoint, given).await
    }

    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError> {
        let given = arguments![lease.name.as_str(), signed(lease.epoch)];
        let database = self.database();
        database.connections.fetch(&database.sql.release_checkpoint, given).await?;
        Ok(())
    }

    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.checkpoints(Some(name.as_str())).await?.into_iter().next())
    }

    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.checkpoints(None).await
    }

    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError> {
        let database = self.database();
        let given = arguments![name.as_str(), Pg(position)];
        let rows = database.connections.fetch(&database.sql.reset_checkpoint, given).await?;
        Ok(!rows.is_empty())
    }

    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError> {
        let database = self.database();
        let given = arguments![name.as_str()];
        let rows = database.connections.fetch_once(&database.sql.delete_checkpoint, given).await?;
        Ok(!rows.is_empty())
    }
}

fn checkpoint(row: &PgRow) -> Result<Checkpoint, StoreError> {
    let read = || -> Result<_, sqlx::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
    };
    let (name, Pg(position), owner, until) = read().map_err(store_error)?;
    let (name, owner): (&str, Option<Pg<Uuid>>) = (name, owner);
    let until: Option<Pg<Timestamp>> = until;
    let name = SubscriptionName::new(name).map_err(|e| {
        corrupt("the database contains an invalid subscription name").with_source(e)
    })?;
    Ok(Checkpoint::new(name, position, owner.map(|Pg(id)| id), until.map(|Pg(time)| time)))
}
