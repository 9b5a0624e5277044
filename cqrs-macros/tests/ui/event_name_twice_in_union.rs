#[derive(cqrs::Event)]
enum AccountEvent {
    #[event(name = "bank.account-opened")]
    Opened,
}

#[derive(cqrs::Event)]
enum Union {
    #[event(transparent)]
    One(AccountEvent),
    #[event(transparent)]
    Again(AccountEvent),
}

fn main() {}
