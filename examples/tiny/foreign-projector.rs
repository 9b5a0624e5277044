//! A read model over events that another system writes: no aggregate and no commands, only the event
//! names and the JSON that the other system has documented.
//!
//! `cargo run --example tiny-foreign-projector`

use std::collections::BTreeMap;

use cqrs::memory::MemoryStore;
use cqrs::{
    EventStore, EventStoreExt, ExpectedVersion, StreamName, event::NewEvent, store::Append,
    subscription::SubscriptionOptions,
};
use futures_util::StreamExt;
use serde_json::json;

/// Stands for the other system.
async fn write_measurements(store: &impl EventStore) -> Result<(), Box<dyn std::error::Error>> {
    for (city, degrees) in [("bern", 3), ("rome", 17), ("bern", 5)] {
        let measured = NewEvent::json("weather.measured", &json!({ "degrees": degrees }))?;
        let stream = StreamName::new(format!("station-{city}"))?;
        store.append(Append::to(stream, ExpectedVersion::Any, vec![measured])).await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = MemoryStore::new();
    write_measurements(&store).await?;

    let mut warmest: BTreeMap<String, i64> = BTreeMap::new();
    let mut events = store.subscribe(SubscriptionOptions::all()).await?.take(3);
    while let Some(event) = events.next().await.transpose()? {
        // Decode only the fields that this reader needs.
        let reading: BTreeMap<String, i64> = event.event.payload.decode()?;
        let degrees = *reading.get("degrees").ok_or("no degrees")?;
        let city = event.stream.id().unwrap_or_default().to_owned();
        let most = warmest.entry(city).or_insert(degrees);
        *most = degrees.max(*most);
    }
    println!("warmest so far: {warmest:?}");
    assert_eq!(warmest.get("bern"), Some(&5));
    Ok(())
}
