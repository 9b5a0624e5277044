struct Account;

#[derive(Clone, cqrs::Command)]
#[command(aggregate = Account, id = account)]
struct Deposit {
    acount: String,
    cents: i64,
}

fn main() {}
