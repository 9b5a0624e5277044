//! An aggregate over events, without read models or projectors. Its state as of any earlier version
//! can still be loaded.
//!
//! `cargo run --example tiny-events-without-projections`

use cqrs::memory::MemoryStore;
use cqrs::{Aggregate, App, Command, Event, Version, repository::AsOf};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq)]
struct Counter {
    count: u32,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Counter, id = counter)]
struct Count {
    counter: String,
}

#[derive(Event)]
#[event(name = "counter.counted")]
struct Counted {
    to: u32,
}

impl Aggregate for Counter {
    const CATEGORY: &'static str = "counter";
    type Id = String;
    type Command = Count;
    type Event = Counted;
    type Error = std::convert::Infallible;

    fn execute(&self, _: Count) -> Result<Vec<Counted>, Self::Error> {
        Ok(vec![Counted { to: self.count + 1 }])
    }

    fn apply(&mut self, counted: &Counted) {
        self.count = counted.to;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::new(MemoryStore::new());
    let visitors = || "visitors".to_owned();
    for _ in 0..3 {
        app.dispatch(Count { counter: visitors() }).await?;
    }
    let now = app.load::<Counter>(&visitors()).await?;
    let as_of = AsOf::Version(Version::new(2));
    let earlier = app.load_as_of::<Counter>(&visitors(), as_of).await?;
    println!("now {:?}, at version 2 {:?}", now.state(), earlier.state());
    assert_eq!((now.state().count, earlier.state().count), (3, 2));
    Ok(())
}
