#[derive(cqrs::Event)]
enum AccountEvent {
    #[event(name = "bank.account-opened", version = 0)]
    Opened,
}

fn main() {}
