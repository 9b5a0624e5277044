//! A process with a timer: an order that is not paid within three days is cancelled.

use std::time::Duration;

use cqrs::process::{Destinations, Route, Timeout};
use cqrs::{Effects, ProcessManager, Recorded};

use crate::order::{Order, OrderCommand, OrderEvent};

pub(crate) struct CancelUnpaidOrders;

impl ProcessManager for CancelUnpaidOrders {
    type Event = OrderEvent;
    type State = String;
    const NAME: &'static str = "cancel_unpaid_orders";

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Order>()
    }
    fn route(&self, event: &Recorded<OrderEvent>) -> Vec<Route> {
        match &event.event {
            OrderEvent::Placed { order } => vec![Route::start(order)],
            OrderEvent::Paid { order } | OrderEvent::Cancelled { order } => vec![Route::end(order)],
        }
    }
    fn apply(&self, order: &mut String, event: &Recorded<OrderEvent>) {
        order.clone_from(event.event.order());
    }
    fn react(&self, _: &String, event: &Recorded<OrderEvent>) -> Effects {
        match event.event {
            OrderEvent::Placed { .. } => Effects::new().start_timer("payment", 3 * DAY),
            OrderEvent::Paid { .. } | OrderEvent::Cancelled { .. } => Effects::new(),
        }
    }
    fn on_timeout(&self, order: &mut String, _: &Timeout) -> Effects {
        Effects::new().dispatch(OrderCommand::Cancel { order: order.clone() })
    }
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
