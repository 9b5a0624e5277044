#[derive(cqrs::Event)]
enum AccountEvent {
    #[event(name = "bank.account-opened")]
    Opened,
    Closed,
}

fn main() {}
