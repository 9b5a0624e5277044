//! The order that the process with a timer cancels.

use cqrs::{Aggregate, Command, Event, aggregate};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq)]
pub(crate) enum Order {
    #[default]
    New,
    Placed,
    Paid,
    Cancelled,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Order, id = order)]
pub(crate) enum OrderCommand {
    Place { order: String },
    Pay { order: String },
    Cancel { order: String },
}

#[derive(Debug, PartialEq, Event)]
pub(crate) enum OrderEvent {
    #[event(name = "shop.order-placed")]
    Placed { order: String },
    #[event(name = "shop.order-paid")]
    Paid { order: String },
    #[event(name = "shop.order-cancelled")]
    Cancelled { order: String },
}

impl OrderEvent {
    pub(crate) const fn order(&self) -> &String {
        let (Self::Placed { order } | Self::Paid { order } | Self::Cancelled { order }) = self;
        order
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the order is {0:?}")]
pub(crate) struct WrongState(Order);

#[aggregate(category = "order", id = String)]
impl Aggregate for Order {
    fn execute(&self, command: OrderCommand) -> Result<Vec<OrderEvent>, WrongState> {
        match (self, command) {
            (Self::New, OrderCommand::Place { order }) => Ok(vec![OrderEvent::Placed { order }]),
            (Self::Placed, OrderCommand::Pay { order }) => Ok(vec![OrderEvent::Paid { order }]),
            (Self::Placed, OrderCommand::Cancel { order }) => {
                Ok(vec![OrderEvent::Cancelled { order }])
            }
            (Self::New, _) => Err(WrongState(Self::New)),
            (Self::Placed, _) => Err(WrongState(Self::Placed)),
            (Self::Paid, _) => Err(WrongState(Self::Paid)),
            (Self::Cancelled, _) => Err(WrongState(Self::Cancelled)),
        }
    }

    fn apply(&mut self, event: &OrderEvent) {
        *self = match event {
            OrderEvent::Placed { .. } => Self::Placed,
            OrderEvent::Paid { .. } => Self::Paid,
            OrderEvent::Cancelled { .. } => Self::Cancelled,
        };
    }
}
