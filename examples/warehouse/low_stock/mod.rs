//! When little is left, somebody is told, once; again when it was filled up in between.
//!
//! [`Item`] is the rule. The [`ToDo`] shows what is open, [`LowStock`] works it off, and whoever is
//! to be told stands behind a [`Notifier`].

mod automation;
mod item;
mod notifier;
mod to_do;

pub use automation::{Automation, LowStock};
pub use item::{Item, THRESHOLD};
pub use notifier::{Log, Notifier, SendNotifications};
pub use to_do::ToDo;
pub(crate) use to_do::{Model, query};
