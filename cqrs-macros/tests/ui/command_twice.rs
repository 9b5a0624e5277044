struct Account;
struct Deposit;

#[derive(cqrs::Command)]
#[command(aggregate = Account)]
enum AccountCommand {
    Deposit(Deposit),
    Again(Deposit),
}

fn main() {}
