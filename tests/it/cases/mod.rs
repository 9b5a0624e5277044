//! Tests that run on every store.

pub mod conflicts;
mod damaged;
mod dispatch;
mod evolution;
pub mod following;
pub mod intercepted;
pub mod ledger;
mod memory_bounds;
mod middleware;
mod past;
mod reading;
pub mod repeated;
mod repositories;
mod reservations;
mod snapshots;
mod steps;

pub use super::fresh;
