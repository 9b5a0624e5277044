struct Checks;

fn start(store: cqrs::memory::MemoryStore) {
    let _ = cqrs::App::builder(store).middleware(Checks).build();
}

fn main() {}
