//! An aggregate with two commands.

use cqrs::{Aggregate, Command, Event, aggregate};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Account(i64);

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = account)]
pub(crate) enum AccountCommand {
    Deposit { account: String, cents: i64 },
    Withdraw { account: String, cents: i64 },
}

#[derive(Debug, PartialEq, Event)]
pub(crate) enum AccountEvent {
    #[event(name = "bank.money-deposited")]
    Deposited { cents: i64 },
    #[event(name = "bank.money-withdrawn")]
    Withdrawn { cents: i64 },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("insufficient funds")]
pub(crate) struct InsufficientFunds;

#[aggregate(category = "account", id = String)]
impl Aggregate for Account {
    fn execute(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, InsufficientFunds> {
        match command {
            AccountCommand::Deposit { cents, .. } => Ok(vec![AccountEvent::Deposited { cents }]),
            AccountCommand::Withdraw { cents, .. } if cents > self.0 => Err(InsufficientFunds),
            AccountCommand::Withdraw { cents, .. } => Ok(vec![AccountEvent::Withdrawn { cents }]),
        }
    }
    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { cents } => self.0 += cents,
            AccountEvent::Withdrawn { cents } => self.0 -= cents,
        }
    }
}
