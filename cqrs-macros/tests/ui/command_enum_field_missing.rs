struct Account;

#[derive(cqrs::Command)]
#[command(aggregate = Account, id = account)]
enum AccountCommand {
    Open { account: String, owner: String },
    Withdraw { acount: String, cents: i64 },
    Close,
}

fn main() {}
