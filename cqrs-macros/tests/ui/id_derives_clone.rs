#[derive(Clone, cqrs::Id)]
struct AccountId(String);

fn main() {}
