#[derive(Clone, cqrs::Command)]
#[command(id = account_id)]
struct Deposit {
    account_id: String,
}

fn main() {}
