struct Account;

#[derive(cqrs::Command)]
#[command(aggregate = Account)]
enum AccountCommand {
    Deposit { account_id: String, cents: i64 },
}

fn main() {}
