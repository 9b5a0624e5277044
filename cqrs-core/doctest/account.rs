// The domain that examples in the documentation of this crate use: `mod account { include!(..) }`.

use cqrs_core::{Aggregate, Command, Event};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub cents: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Account, id = account)]
pub struct Deposit {
    pub account: String,
    pub cents: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Account, id = account)]
pub struct Withdraw {
    pub account: String,
    pub cents: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Command)]
#[command(crate = cqrs_core, aggregate = Account)]
pub enum AccountCommand {
    Deposit(Deposit),
    Withdraw(Withdraw),
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(crate = cqrs_core)]
pub enum AccountEvent {
    #[event(name = "bank.money-deposited")]
    Deposited { cents: i64 },
    #[event(name = "bank.money-withdrawn")]
    Withdrawn { cents: i64 },
}

#[derive(Debug, PartialEq)]
pub struct InsufficientFunds {
    pub available: i64,
}

impl std::fmt::Display for InsufficientFunds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "only {} cents available", self.available)
    }
}

impl std::error::Error for InsufficientFunds {}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = InsufficientFunds;

    fn execute(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, InsufficientFunds> {
        match command {
            AccountCommand::Deposit(Deposit { cents, .. }) => {
                Ok(vec![AccountEvent::Deposited { cents }])
            }
            AccountCommand::Withdraw(Withdraw { cents, .. }) if cents > self.cents => {
                Err(InsufficientFunds { available: self.cents })
            }
            AccountCommand::Withdraw(Withdraw { cents, .. }) => {
                Ok(vec![AccountEvent::Withdrawn { cents }])
            }
        }
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

/// A deposit of some cents.
pub fn deposit(account: &str, cents: i64) -> Deposit {
    Deposit { account: account.to_owned(), cents }
}

/// A withdrawal of some cents.
pub fn withdraw(account: &str, cents: i64) -> Withdraw {
    Withdraw { account: account.to_owned(), cents }
}
