struct Account;

#[derive(cqrs::Command)]
#[command(aggregate = Account)]
enum AccountCommand {
    Deposit { account_id: String },
}

fn main() {}
