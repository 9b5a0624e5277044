#[derive(cqrs::Event)]
enum Union {
    #[event(transparent)]
    Nothing,
}

fn main() {}
