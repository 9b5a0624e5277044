use cqrs::{Aggregate, Command, Event};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = id)]
struct Open {
    id: u32,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = id)]
struct Close {
    id: u32,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Account)]
enum AccountCommand {
    Open(Open),
    Close(Close),
}

#[derive(Event)]
enum AccountEvent {
    #[event(name = "bank.account-opened")]
    Opened,
}

#[derive(Default)]
struct Account;

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u32;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = std::fmt::Error;

    fn execute(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, std::fmt::Error> {
        match command {
            AccountCommand::Open(_) => Ok(vec![AccountEvent::Opened]),
        }
    }

    fn apply(&mut self, _: &AccountEvent) {}
}

fn main() {}
