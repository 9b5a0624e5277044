//! Working the items off.

use std::sync::Arc;

use cqrs::process::ProcessesBuilder;
use cqrs::{
    Effects, ProcessManager, Recorded,
    process::{Destinations, ProcessStore, Route},
};
use serde::{Deserialize, Serialize};

use super::{Item, Notifier, TellSomebody};
use crate::domain::product::NotifyLowProductQuantity;
use crate::domain::{Product, ProductEvent};

/// Asks for a notification whenever an item opens; one instance for each product.
#[derive(Clone, Copy, Debug)]
pub struct LowStock {
    threshold: u64,
}

impl LowStock {
    /// Up to so many pieces are few.
    #[must_use]
    pub const fn new(threshold: u64) -> Self {
        Self { threshold }
    }
}

/// What is remembered of a product.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Remembered {
    item: Item,
    /// Whether the last event opened it.
    opened: bool,
}

impl ProcessManager for LowStock {
    type Event = ProductEvent;
    type State = Remembered;
    const NAME: &'static str = "low_stock";

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Product>()
    }

    fn route(&self, event: &Recorded<ProductEvent>) -> Vec<Route> {
        vec![Route::start_or_continue(event.event.sku())]
    }

    fn apply(&self, product: &mut Remembered, event: &Recorded<ProductEvent>) {
        let item = product.item.after(&event.event, self.threshold);
        let opened = item != product.item && matches!(item, Item::Open { .. });
        *product = Remembered { item, opened };
    }

    fn react(&self, product: &Remembered, event: &Recorded<ProductEvent>) -> Effects {
        match product.item {
            Item::Open { left: quantity } if product.opened => {
                let sku = event.event.sku().clone();
                Effects::new().dispatch(NotifyLowProductQuantity { sku, quantity })
            }
            _ => Effects::new(),
        }
    }
}

/// Everything that happens by itself in the warehouse.
#[derive(Clone, Debug)]
pub struct Automation<N> {
    /// When pieces are few.
    pub low_stock: LowStock,
    /// Who is told.
    pub notifier: Arc<N>,
}

impl<N: Notifier> example_shared::Automation for Automation<N> {
    fn add_to<S: ProcessStore>(self, processes: ProcessesBuilder<S>) -> ProcessesBuilder<S> {
        processes.process(self.low_stock).handler(TellSomebody::through(self.notifier))
    }
}
