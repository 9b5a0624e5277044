//! Every product and what is on hand, folded from the log.

use std::collections::BTreeMap;

use cqrs::{Event, EventStore, EventStoreExt, Filter, LogRead, ReadError};
use futures_util::TryStreamExt;

use crate::domain::{ProductEvent, Sku};

/// Products by name. One appears when something first happened to it.
///
/// # Errors
/// [`ReadError`] when the log cannot be read.
pub async fn products(store: &dyn EventStore) -> Result<BTreeMap<Sku, u64>, ReadError> {
    let read = LogRead::forward().filter(Filter::types(ProductEvent::TYPES));
    let mut events = store.log_events_as::<ProductEvent>(read);
    let mut products = BTreeMap::new();
    while let Some(event) = events.try_next().await? {
        match event.event {
            ProductEvent::ProductQuantityIncreased { sku, on_hand_after, .. }
            | ProductEvent::ProductQuantityShipped { sku, on_hand_after, .. } => {
                products.insert(sku, on_hand_after);
            }
            ProductEvent::NotifiedLowProductQuantity { .. } => {}
        }
    }
    Ok(products)
}
