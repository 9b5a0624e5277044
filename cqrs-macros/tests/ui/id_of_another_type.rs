#[derive(cqrs::Id)]
struct AccountId(u64);

#[derive(cqrs::Id)]
struct TransferId {
    text: String,
}

fn main() {}
