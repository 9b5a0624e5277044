//! The measured projectors.

use cqrs::{Projector, ReadModel, Recorded, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_postgres::{PgReadStore, PgReadTransaction};
use rpds::HashTrieMapSync;

use crate::shared::Deposited;

/// One row per stream, in memory.
#[derive(ReadModel)]
#[read_model(name = "balances", version = 1, event = Deposited)]
pub(crate) struct Balances;

#[derive(Clone, Default)]
pub(crate) struct Model(pub(crate) HashTrieMapSync<cqrs::StreamName, (i64, i64)>);

impl Projector<MemoryReadStore> for Balances {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<Deposited>,
    ) -> Result<(), ProjectError> {
        add(&mut tx.model::<Model>()?.0, event);
        Ok(())
    }

    async fn project_batch(
        &self,
        tx: &mut MemoryTransaction,
        events: &[Recorded<Deposited>],
    ) -> Result<(), ProjectError> {
        let rows = &mut tx.model::<Model>()?.0;
        for event in events {
            add(rows, event);
        }
        Ok(())
    }
}

fn add(rows: &mut HashTrieMapSync<cqrs::StreamName, (i64, i64)>, event: &Recorded<Deposited>) {
    match rows.get_mut(&event.stream) {
        Some((count, sum)) => {
            *count += 1;
            *sum += event.event.amount;
        }
        None => rows.insert_mut(event.stream.clone(), (1, event.event.amount)),
    }
}

/// One row per event, one statement per batch.
pub(crate) struct Entries<const N: usize>;

/// Names, so that several can run in one process.
const NAMES: [&str; 10] = ["entries", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

impl<const N: usize> ReadModel for Entries<N> {
    type Event = Deposited;
    const NAME: &'static str = NAMES[N];
    const VERSION: u32 = 1;
}

impl<const N: usize> Projector<PgReadStore> for Entries<N> {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table entries (position bigint primary key, account text not null,
            amount bigint not null, balance bigint not null)";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<Deposited>,
    ) -> Result<(), ProjectError> {
        self.project_batch(tx, std::slice::from_ref(event)).await
    }

    async fn project_batch(
        &self,
        tx: &mut PgReadTransaction,
        events: &[Recorded<Deposited>],
    ) -> Result<(), ProjectError> {
        let positions: Vec<i64> = events.iter().map(|e| e.position.get() as i64).collect();
        let accounts: Vec<&str> = events.iter().map(|e| e.event.account.as_str()).collect();
        let amounts: Vec<i64> = events.iter().map(|e| e.event.amount).collect();
        let balances: Vec<i64> = events.iter().map(|e| e.event.balance).collect();
        let add = "insert into entries
            select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[])";
        let add = sqlx::query(add).bind(positions).bind(accounts).bind(amounts).bind(balances);
        add.execute(&mut **tx).await?;
        Ok(())
    }
}

/// One row per stream, one statement per event.
#[derive(ReadModel)]
#[read_model(name = "sums", version = 1, event = Deposited)]
pub(crate) struct Sums;

impl Projector<PgReadStore> for Sums {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table sums (stream text primary key, count bigint not null,
            sum bigint not null)";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<Deposited>,
    ) -> Result<(), ProjectError> {
        let add = "insert into sums values ($1, 1, $2) on conflict (stream) do update
            set count = sums.count + 1, sum = sums.sum + excluded.sum";
        let add = sqlx::query(add).bind(event.stream.as_str()).bind(event.event.amount);
        add.execute(&mut **tx).await?;
        Ok(())
    }
}
