//! The tests that every store must pass, written once.

pub mod conflicts;
mod damaged;
mod dispatch;
mod evolution;
pub mod following;
pub mod hooked;
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
