//! Whole-system tests: an application over a real store, through the public API only.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking
#![allow(unreachable_pub)] // a test binary has no public surface

mod cancel;
mod conflicts;
mod damaged;
mod dispatch;
mod evolution;
mod following;
mod hooked;
mod ledger;
mod memory_bounds;
mod middleware;
mod model;
mod past;
mod repeated;
mod repositories;
mod snapshots;
mod steps;
