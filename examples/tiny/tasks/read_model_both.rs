//! The same read model in memory and on Postgres.

use std::collections::BTreeMap;

use cqrs::memory::{MemoryReadStore, MemoryTransaction};
use cqrs::postgres::{PgReadStore, PgReadTransaction, sqlx};
use cqrs::projection::ProjectError;
use cqrs::{Projector, ReadModel, Recorded};

use crate::aggregate::AccountEvent;

#[derive(ReadModel)]
#[read_model(name = "activity", version = 1, event = AccountEvent)]
pub(crate) struct Activity;

#[derive(Clone, Default)]
pub(crate) struct EventCounts(pub(crate) BTreeMap<String, u32>);

impl Projector<MemoryReadStore> for Activity {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(EventCounts::default());
        Ok(())
    }
    async fn project(&self, tx: &mut MemoryTransaction, event: &Event) -> Result<(), ProjectError> {
        *tx.model::<EventCounts>()?.0.entry(event.stream.to_string()).or_default() += 1;
        Ok(())
    }
}

impl Projector<PgReadStore> for Activity {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table activity (stream text primary key, events integer not null)";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }
    async fn project(&self, tx: &mut PgReadTransaction, event: &Event) -> Result<(), ProjectError> {
        let add = "insert into activity values ($1, 1)
                   on conflict (stream) do update set events = activity.events + 1";
        sqlx::query(add).bind(event.stream.as_str()).execute(&mut **tx).await?;
        Ok(())
    }
}

type Event = Recorded<AccountEvent>;
