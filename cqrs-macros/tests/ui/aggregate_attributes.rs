use cqrs::{Aggregate, aggregate};

#[derive(Default)]
struct Account;

#[aggregate(category = "account")]
impl Aggregate for Account {}

#[aggregate(category = "account", id = u64)]
impl Account {}

#[aggregate(category = "account", id = u64)]
impl Aggregate for Account {
    fn execute(&self, _: Self::Command) -> Result<Vec<Self::Event>, Self::Error> {
        Ok(vec![])
    }

    fn apply(&mut self, _: &Self::Event) {}
}

fn main() {}
