use cqrs::memory::{MemoryReadStore, MemoryTransaction};
use cqrs::projection::{ProjectError, ReadStore};
use cqrs::{App, Event, Projections, Projector, ReadModel, Recorded};

#[derive(Event)]
#[event(name = "bank.account-opened")]
struct Opened {}

#[derive(ReadModel)]
#[read_model(name = "balances", version = 1, event = Opened)]
struct Balances;

impl Projector<MemoryReadStore> for Balances {
    async fn create(&self, _: &mut MemoryTransaction) -> Result<(), ProjectError> {
        Ok(())
    }

    async fn project(
        &self,
        _: &mut MemoryTransaction,
        _: &Recorded<Opened>,
    ) -> Result<(), ProjectError> {
        Ok(())
    }
}

// A type parameter takes the place of the type, so that the test needs no database driver.
fn start<PgReadStore: ReadStore>(app: &App, read: PgReadStore) {
    let _ = Projections::builder(app, read).projector(Balances);
}

fn main() {}
