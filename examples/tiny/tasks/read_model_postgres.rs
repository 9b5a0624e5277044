//! A read model on Postgres, and a query.

use cqrs::postgres::{PgReadStore, PgReadTransaction, sqlx};
use cqrs::projection::ProjectError;
use cqrs::{Projector, ReadModel, Recorded};

use crate::aggregate::AccountEvent;

#[derive(ReadModel)]
#[read_model(name = "balances", version = 1, event = AccountEvent)]
pub(crate) struct Balances;

impl Projector<PgReadStore> for Balances {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table balances (account text primary key, cents bigint not null)";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }
    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<AccountEvent>,
    ) -> Result<(), ProjectError> {
        let add = "insert into balances values ($1, $2)
                   on conflict (account) do update set cents = balances.cents + excluded.cents";
        let cents = match event.event {
            AccountEvent::Deposited { cents } => cents,
            AccountEvent::Withdrawn { cents } => -cents,
        };
        let add = sqlx::query(add).bind(event.stream.id()).bind(cents);
        add.execute(&mut **tx).await?;
        Ok(())
    }
}

pub(crate) async fn balance(
    read_store: &PgReadStore,
    account: &str,
) -> Result<i64, Box<dyn std::error::Error>> {
    let mut tx = read_store.begin_read("balances").await?;
    let query = sqlx::query_scalar("select cents from balances where account = $1");
    Ok(query.bind(account).fetch_one(&mut *tx).await?)
}
