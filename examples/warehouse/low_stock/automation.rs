//! The process that requests notifications.

use std::sync::Arc;

use cqrs::process::ProcessesBuilder;
use cqrs::{
    Effects, ProcessManager, Recorded,
    process::{Destinations, ProcessStore, Route},
};
use serde::{Deserialize, Serialize};

use super::{Item, Notifier, SendNotifications};
use crate::domain::product::NotifyLowProductQuantity;
use crate::domain::{Product, ProductEvent};

/// Requests a notification whenever an item opens. Each product is one instance.
#[derive(Clone, Copy, Debug)]
pub struct LowStock {
    threshold: u64,
}

impl LowStock {
    /// Creates the process. Stock is low at or below `threshold` pieces.
    #[must_use]
    pub const fn new(threshold: u64) -> Self {
        Self { threshold }
    }
}

/// The state of a product's instance.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Tracked {
    item: Item,
    /// Whether the last event opened the item.
    opened: bool,
}

impl ProcessManager for LowStock {
    type Event = ProductEvent;
    type State = Tracked;
    const NAME: &'static str = "low_stock";

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Product>()
    }

    fn route(&self, event: &Recorded<ProductEvent>) -> Vec<Route> {
        vec![Route::start_or_continue(event.event.sku())]
    }

    fn apply(&self, product: &mut Tracked, event: &Recorded<ProductEvent>) {
        let item = product.item.after(&event.event, self.threshold);
        let opened = item != product.item && matches!(item, Item::Open { .. });
        *product = Tracked { item, opened };
    }

    fn react(&self, product: &Tracked, event: &Recorded<ProductEvent>) -> Effects {
        match product.item {
            Item::Open { left: quantity } if product.opened => {
                let sku = event.event.sku().clone();
                Effects::new().dispatch(NotifyLowProductQuantity { sku, quantity })
            }
            _ => Effects::new(),
        }
    }
}

/// The warehouse's processes and handlers.
#[derive(Clone, Debug)]
pub struct Automation<N> {
    /// The process that requests notifications.
    pub low_stock: LowStock,
    /// Sends the notifications.
    pub notifier: Arc<N>,
}

impl<N: Notifier> example_shared::Automation for Automation<N> {
    fn add_to<S: ProcessStore>(self, processes: ProcessesBuilder<S>) -> ProcessesBuilder<S> {
        processes.process(self.low_stock).handler(SendNotifications::with(self.notifier))
    }
}
