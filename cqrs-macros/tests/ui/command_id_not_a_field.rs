struct Account;

#[derive(Clone, cqrs::Command)]
#[command(aggregate = Account, id = account)]
struct Deposit {
    account_id: String,
}

fn main() {}
