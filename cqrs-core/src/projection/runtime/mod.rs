//! Runs consumers: projectors, processes and handlers.
//!
//! A node is one running program with its consumers. It renews its leases by heartbeats, runs a
//! worker for each partition it owns, and leaves partitions to other nodes when they join.

mod assign;
mod build;
pub(super) mod consumer;
pub(super) mod handle;
mod health;
pub(super) mod node;
pub(super) mod partitioning;
pub(super) mod reader;
pub(super) mod shared;
pub(super) mod status;
mod wait;

pub(crate) use consumer::Registered;
pub(crate) use shared::Shared;
pub(crate) use status::Control;
