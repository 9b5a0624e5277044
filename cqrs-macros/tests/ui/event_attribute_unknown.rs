#[derive(cqrs::Event)]
enum AccountEvent {
    #[event(nam = "bank.account-opened")]
    Opened,
}

fn main() {}
