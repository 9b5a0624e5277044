//! An order: an aggregate that contains entities. A line belongs to its order, and its number is unique
//! only there.

use std::collections::BTreeMap;

use cqrs_core::{Aggregate, Command, Event};
use serde::{Deserialize, Serialize};

use super::{Quantity, Sku};

/// The state of an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The lines by number.
    pub lines: BTreeMap<u32, Line>,
}

/// A quantity of one product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Line {
    pub sku: Sku,
    pub quantity: Quantity,
}

/// Adds a line under an unused number.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Order, id = order)]
#[allow(missing_docs)]
pub struct AddLine {
    pub order: u64,
    pub number: u32,
    pub line: Line,
}

/// Removes a line.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Order, id = order)]
#[allow(missing_docs)]
pub struct RemoveLine {
    pub order: u64,
    pub number: u32,
}

/// Every command to an order.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Order)]
#[allow(missing_docs)]
pub enum OrderCommand {
    Add(AddLine),
    Remove(RemoveLine),
}

/// Every event of an order.
#[derive(Clone, Debug, PartialEq, Event)]
#[allow(missing_docs)]
pub enum OrderEvent {
    #[event(name = "warehouse.order-line-added")]
    LineAdded { number: u32, line: Line },
    #[event(name = "warehouse.order-line-removed")]
    LineRemoved { number: u32 },
}

/// Why an order rejected a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum OrderError {
    #[error("line {number} already exists")]
    LineExists { number: u32 },
    #[error("no line {number}")]
    NoSuchLine { number: u32 },
}

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = u64;
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Error = OrderError;

    fn execute(&self, command: OrderCommand) -> Result<Vec<OrderEvent>, OrderError> {
        match command {
            OrderCommand::Add(AddLine { number, line, .. }) => {
                if self.lines.contains_key(&number) {
                    return Err(OrderError::LineExists { number });
                }
                Ok(vec![OrderEvent::LineAdded { number, line }])
            }
            OrderCommand::Remove(RemoveLine { number, .. }) => {
                if !self.lines.contains_key(&number) {
                    return Err(OrderError::NoSuchLine { number });
                }
                Ok(vec![OrderEvent::LineRemoved { number }])
            }
        }
    }

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::LineAdded { number, line } => {
                self.lines.insert(*number, line.clone());
            }
            OrderEvent::LineRemoved { number } => {
                self.lines.remove(number);
            }
        }
    }
}
