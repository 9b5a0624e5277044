struct Account;

#[derive(Clone, cqrs::Command)]
#[command(aggregate = Account)]
struct Deposit {
    account_id: String,
}

fn main() {}
