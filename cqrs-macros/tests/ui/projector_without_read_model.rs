use cqrs::memory::{MemoryReadStore, MemoryTransaction};
use cqrs::projection::ProjectError;
use cqrs::{Event, Projector, Recorded};

#[derive(Event)]
#[event(name = "bank.account-opened")]
struct Opened {}

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

fn main() {}
