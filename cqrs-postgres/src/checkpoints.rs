//! Checkpoints of durable subscriptions, fenced by the epoch of the newest lease.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::{
    Position,
    store::StoreError,
    subscription::{
        AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease,
        SubscriptionName,
    },
};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::PgStore;
use crate::connections::{Arguments, arguments};
use crate::error::{corrupt, store_error};
use crate::moment::Moment;
use crate::numbers::{signed, unsigned};

/// One row if it was given out. Of two at once the second waits for the first and then sees its
/// lease. Done twice by the same owner it makes the first lease an old one, which nobody has.
pub(crate) const ACQUIRE: &str = "
insert into cqrs.subscriptions as kept (name, position, epoch, owner, held_until)
values ($1, $2, nextval('cqrs.epochs'), $3, clock_timestamp() + $4 * interval '1 microsecond')
on conflict (name) do update
  set epoch = excluded.epoch, owner = excluded.owner, held_until = excluded.held_until
  where kept.owner = excluded.owner or kept.held_until is null
     or kept.held_until <= clock_timestamp()
returning kept.epoch, kept.position";

pub(crate) const RENEW: &str = "
update cqrs.subscriptions
   set held_until = case when held_until is not null
                      then clock_timestamp() + $3 * interval '1 microsecond' end
 where name = $1 and epoch = $2 returning 1";

pub(crate) const SAVE: &str = "
update cqrs.subscriptions set position = greatest(position, $3)
 where name = $1 and epoch = $2 returning 1";

pub(crate) const RELEASE: &str =
    "update cqrs.subscriptions set owner = null, held_until = null where name = $1 and epoch = $2";

pub(crate) const LIST: &str = "
select name, position,
       case when held_until > clock_timestamp() then owner end,
       case when held_until > clock_timestamp() then held_until end
  from cqrs.subscriptions where $1::text is null or name = $1 order by name";

pub(crate) const RESET: &str = "
update cqrs.subscriptions
   set position = $2, epoch = nextval('cqrs.epochs'), owner = null, held_until = null
 where name = $1 returning 1";

pub(crate) const DELETE: &str = "delete from cqrs.subscriptions where name = $1 returning 1";

impl PgStore {
    /// Changes a subscription if the lease is the newest. All of these may run twice.
    async fn under(
        &self,
        lease: &SubscriptionLease,
        sql: &Arc<str>,
        given: Arguments,
    ) -> Result<(), CheckpointError> {
        let name = || lease.name.clone();
        match self.shared.connections.fetch(sql, given).await {
            Ok(rows) if rows.is_empty() => Err(CheckpointError::Lost { name: name() }),
            Ok(_) => Ok(()),
            Err(source) => Err(CheckpointError::Store { name: name(), source }),
        }
    }

    async fn listed(&self, name: Option<&str>) -> Result<Vec<Checkpoint>, StoreError> {
        let shared = &self.shared;
        let rows = shared.connections.fetch(&shared.sql.list_checkpoints, arguments![name]).await?;
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
        let shared = &self.shared;
        let failed = |source| AcquireError::Store { name: name.clone(), source };
        loop {
            let given = arguments![name.as_str(), signed(start.get()), owner, micros(duration)];
            let rows = shared.connections.fetch(&shared.sql.acquire_checkpoint, given).await;
            let rows = rows.map_err(failed)?;
            if let Some(row) = rows.first() {
                let read = || Ok((row.try_get(0)?, row.try_get(1)?));
                let (epoch, position) = read().map_err(store_error).map_err(failed)?;
                let position = Position::new(unsigned(position));
                return Ok(SubscriptionLease::new(name.clone(), unsigned(epoch), position));
            }
            let listed = self.listed(Some(name.as_str())).await.map_err(failed)?;
            // Given back or removed since: it is free.
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
        self.under(lease, &self.shared.sql.renew_checkpoint, given).await
    }

    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError> {
        let given = arguments![lease.name.as_str(), signed(lease.epoch), signed(position.get())];
        self.under(lease, &self.shared.sql.save_checkpoint, given).await
    }

    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError> {
        let given = arguments![lease.name.as_str(), signed(lease.epoch)];
        let shared = &self.shared;
        shared.connections.fetch(&shared.sql.release_checkpoint, given).await?;
        Ok(())
    }

    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.listed(Some(name.as_str())).await?.into_iter().next())
    }

    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.listed(None).await
    }

    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let given = arguments![name.as_str(), signed(position.get())];
        let rows = shared.connections.fetch(&shared.sql.reset_checkpoint, given).await?;
        Ok(!rows.is_empty())
    }

    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let given = arguments![name.as_str()];
        let rows = shared.connections.fetch_once(&shared.sql.delete_checkpoint, given).await?;
        Ok(!rows.is_empty())
    }
}

/// A lease of more than a hundred years is one of a hundred years.
fn micros(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).unwrap_or(CENTURY).min(CENTURY)
}

fn checkpoint(row: &PgRow) -> Result<Checkpoint, StoreError> {
    let read = || -> Result<_, sqlx::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
    };
    let (name, position, owner, until) = read().map_err(store_error)?;
    let (name, until): (&str, Option<Moment>) = (name, until);
    let name = SubscriptionName::new(name).map_err(|e| {
        corrupt("the database holds an impossible subscription name").with_source(e)
    })?;
    let position = Position::new(unsigned(position));
    Ok(Checkpoint::new(name, position, owner, until.map(|until| until.0)))
}
