#[derive(cqrs::Event)]
enum Generic<T> {
    #[event(name = "t.one")]
    One(T),
}

fn main() {}
