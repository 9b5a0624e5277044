use cqrs::{Aggregate, Command, Event};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = account)]
struct Open {
    account: u64,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = transfer)]
struct StartTransfer {
    transfer: u64,
}

#[derive(Event)]
#[event(name = "bank.account-opened")]
struct Opened {}

#[derive(Default)]
struct Account;

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u64;
    type Command = Open;
    type Event = Opened;
    type Error = std::fmt::Error;

    fn execute(&self, _: Open) -> Result<Vec<Opened>, std::fmt::Error> {
        Ok(vec![Opened {}])
    }

    fn apply(&mut self, _: &Opened) {}
}

fn main() {}
