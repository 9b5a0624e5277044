#[derive(cqrs::Event)]
enum AccountEvent {
    #[event(name = "bank.account-opened")]
    Opened,
    #[event(name = "bank.account-opened")]
    Reopened,
}

fn main() {}
