use cqrs::{Event, ReadModel};

#[derive(Event)]
#[event(name = "bank.account-opened")]
struct Opened {}

#[derive(ReadModel)]
struct Nothing;

#[derive(ReadModel)]
#[read_model(name = "balances")]
struct WithoutEvent;

#[derive(ReadModel)]
#[read_model(name = "balances", events = Opened)]
struct Misspelled;

#[derive(ReadModel)]
#[read_model(name = "balances", event = Opened, version = 0)]
struct VersionZero;

fn main() {}
