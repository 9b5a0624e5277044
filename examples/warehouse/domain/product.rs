//! A product and its quantity on hand.

use cqrs_core::{Aggregate, Command, Event};
use serde::{Deserialize, Serialize};

use super::{Quantity, Sku};

/// The state of a product. An unknown SKU is a product with nothing on hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The number of pieces on hand.
    pub on_hand: u64,
}

/// Adds pieces to the stock.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Product, id = sku)]
#[allow(missing_docs)]
pub struct IncreaseProductQuantity {
    pub sku: Sku,
    pub quantity: Quantity,
}

/// Ships pieces, if there are enough.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Product, id = sku)]
#[allow(missing_docs)]
pub struct ShipProductQuantity {
    pub sku: Sku,
    pub quantity: Quantity,
}

/// Requests a notification that stock is low; `quantity` may be 0.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Product, id = sku)]
#[allow(missing_docs)]
pub struct NotifyLowProductQuantity {
    pub sku: Sku,
    pub quantity: u64,
}

/// Every command to a product.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Product)]
#[allow(missing_docs)]
pub enum ProductCommand {
    Increase(IncreaseProductQuantity),
    Ship(ShipProductQuantity),
    NotifyLow(NotifyLowProductQuantity),
}

/// Every event of a product. Changes contain the quantity on hand afterwards, so that readers can check
/// theirs.
#[derive(Clone, Debug, PartialEq, Event)]
#[allow(missing_docs)]
pub enum ProductEvent {
    #[event(name = "warehouse.product-quantity-increased")]
    ProductQuantityIncreased { sku: Sku, quantity: Quantity, on_hand_after: u64 },
    #[event(name = "warehouse.product-quantity-shipped")]
    ProductQuantityShipped { sku: Sku, quantity: Quantity, on_hand_after: u64 },
    #[event(name = "warehouse.notified-low-product-quantity")]
    NotifiedLowProductQuantity { sku: Sku, quantity: u64 },
}

impl ProductEvent {
    /// Returns the product.
    #[must_use]
    pub const fn sku(&self) -> &Sku {
        match self {
            Self::ProductQuantityIncreased { sku, .. }
            | Self::ProductQuantityShipped { sku, .. }
            | Self::NotifiedLowProductQuantity { sku, .. } => sku,
        }
    }
}

/// Why a product rejected a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProductError {
    #[error("insufficient quantity: {on_hand} on hand, {requested} requested")]
    InsufficientQuantityOnHand { requested: u64, on_hand: u64 },
    #[error("the quantity on hand would exceed the maximum")]
    TooMany,
}

impl Aggregate for Product {
    const CATEGORY: &'static str = "product";
    type Id = Sku;
    type Command = ProductCommand;
    type Event = ProductEvent;
    type Error = ProductError;

    fn execute(&self, command: ProductCommand) -> Result<Vec<ProductEvent>, ProductError> {
        let on_hand = self.on_hand;
        let event = match command {
            ProductCommand::Increase(IncreaseProductQuantity { sku, quantity }) => {
                let on_hand_after = on_hand
                    .checked_add(quantity.pieces())
                    .filter(|sum| *sum <= Quantity::MAX)
                    .ok_or(ProductError::TooMany)?;
                ProductEvent::ProductQuantityIncreased { sku, quantity, on_hand_after }
            }
            ProductCommand::Ship(ShipProductQuantity { sku, quantity }) => {
                let requested = quantity.pieces();
                let on_hand_after = on_hand
                    .checked_sub(requested)
                    .ok_or(ProductError::InsufficientQuantityOnHand { requested, on_hand })?;
                ProductEvent::ProductQuantityShipped { sku, quantity, on_hand_after }
            }
            ProductCommand::NotifyLow(NotifyLowProductQuantity { sku, quantity }) => {
                ProductEvent::NotifiedLowProductQuantity { sku, quantity }
            }
        };
        Ok(vec![event])
    }

    fn apply(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::ProductQuantityIncreased { on_hand_after, .. }
            | ProductEvent::ProductQuantityShipped { on_hand_after, .. } => {
                self.on_hand = *on_hand_after;
            }
            ProductEvent::NotifiedLowProductQuantity { .. } => {}
        }
    }
}
