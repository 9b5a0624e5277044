//! The order: an aggregate with parts of its own. A line lives and dies with its order, and its
//! number means nothing outside.

use std::collections::BTreeMap;

use cqrs_core::{Aggregate, Command, Event};
use serde::{Deserialize, Serialize};

use super::{Quantity, Sku};

/// What a customer wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its lines by number.
    pub lines: BTreeMap<u32, Line>,
}

/// So many of one product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Line {
    pub sku: Sku,
    pub quantity: Quantity,
}

/// Adds a line under a number that is free.
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

/// Everything an order can be asked.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Order)]
#[allow(missing_docs)]
pub enum OrderCommand {
    Add(AddLine),
    Remove(RemoveLine),
}

/// Everything that can happen to an order.
#[derive(Clone, Debug, PartialEq, Event)]
#[allow(missing_docs)]
pub enum OrderEvent {
    #[event(name = "warehouse.order-line-added")]
    LineAdded { number: u32, line: Line },
    #[event(name = "warehouse.order-line-removed")]
    LineRemoved { number: u32 },
}

/// Why an order refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum OrderError {
    #[error("there is a line {number} already")]
    LineExists { number: u32 },
    #[error("there is no line {number}")]
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
