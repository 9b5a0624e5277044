struct Account;

#[derive(cqrs::Command)]
#[command(aggregat = Account)]
struct Open {
    account: u64,
}

#[derive(cqrs::Command)]
#[command(aggregate = Account, aggregate = Account)]
struct Close {
    account: u64,
}

#[derive(cqrs::Command)]
#[command(aggregate = Account, id = account)]
enum AccountCommand {
    #[command(id = number)]
    Deposit { account: u64, number: u64 },
}

#[derive(cqrs::Command)]
#[command(aggregate = Account, id = account)]
enum Structs {
    Open(Open),
}

fn main() {}
