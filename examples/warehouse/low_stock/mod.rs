//! Low-stock notifications: one each time the stock of a product falls to the threshold.
//!
//! [`Item`] is the rule, [`ToDo`] lists the pending notifications, [`LowStock`] requests them, and
//! [`SendNotifications`] passes them to a [`Notifier`].

mod automation;
mod item;
mod notifier;
mod to_do;

pub use automation::{Automation, LowStock};
pub use item::{Item, THRESHOLD};
pub use notifier::{Log, Notifier, SendNotifications};
pub use to_do::ToDo;
pub(crate) use to_do::{Model, query};
