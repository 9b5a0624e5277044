//! Keeps the history of a shopping cart: an item that was added, removed and added again leaves three
//! events and one item.
//!
//! `cargo run --example tiny-cart`

use std::collections::BTreeSet;

use cqrs::memory::MemoryStore;
use cqrs::{Event, EventStoreExt, ExpectedVersion, StreamName, store::Read};

#[derive(Debug, PartialEq, Event)]
enum CartEvent {
    #[event(name = "cart.item-added")]
    Added { sku: String },
    #[event(name = "cart.item-removed")]
    Removed { sku: String },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (store, cart) = (MemoryStore::new(), StreamName::new("cart-1")?);
    let sku = || "abc123".to_owned();
    let history = [
        CartEvent::Added { sku: sku() },
        CartEvent::Removed { sku: sku() },
        CartEvent::Added { sku: sku() },
    ];
    store.append_events(&cart, ExpectedVersion::NoStream, &history).await?;

    let events = store.read_as::<CartEvent>(Read::stream(cart)).await?.collect().await?;
    let mut items = BTreeSet::new();
    for recorded in &events {
        println!("v{} {:?}", recorded.version, recorded.event);
        match &recorded.event {
            CartEvent::Added { sku } => items.insert(sku),
            CartEvent::Removed { sku } => items.remove(sku),
        };
    }
    println!("items in the cart: {items:?}");
    assert_eq!((events.len(), items.len()), (3, 1));
    Ok(())
}
