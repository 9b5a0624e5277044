use cqrs::{Event, ReadModel};

#[derive(Event)]
#[event(name = "bank.account-opened")]
struct Opened {}

#[derive(ReadModel)]
#[read_model(name = "Account-Balances", version = 1, event = Opened)]
struct Balances;

fn main() {}
