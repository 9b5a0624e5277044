//! The in-memory event store: nothing to install, and the reference that other stores are
//! compared with.
//!
//! [`MemoryStore`] keeps the whole contract of [`EventStore`](cqrs_core::EventStore),
//! [`SnapshotStore`](cqrs_core::store::SnapshotStore) and [`StateStore`](cqrs_core::store::StateStore): what
//! works here works on a database. Only, it does not outlive the process.
//!
//! ```
//! use cqrs_core::{EventStore, EventStoreExt, ExpectedVersion, StreamName, event::NewEvent, store::{Append, Read}};
//! use cqrs_memory::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let cart = StreamName::new("cart-1")?;
//! let added = NewEvent::json("cart.added", "sku-7")?;
//! store.append(Append::to(cart.clone(), ExpectedVersion::NoStream, vec![added])).await?;
//!
//! let events = store.read(Read::stream(cart)).await?.collect().await?;
//! assert_eq!(events[0].event.payload.decode::<String>()?, "sku-7");
//! # Ok(())
//! # }
//! ```
//!
//! - An event is stored as the JSON it would be on disk: a [`Payload`](cqrs_core::event::Payload) cannot
//!   hold anything else. So a test on this store finds the event that cannot be serialised.
//! - A clone is another handle to the same store; [`MemoryStore::new`] is always a store of its
//!   own, so tests do not see each other.
//! - Time comes from a [`Clock`](cqrs_core::app::Clock) given to the [`builder`](MemoryStore::builder).
//! - [`Step`] names every point at which a store can fail or its process can die; a hook at these
//!   points lets a test do both.
//! - Reads use the narrowest index for their filter and never look through the rest of the log.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod append;
mod checkpoints;
mod contents;
mod event_store;
mod index;
mod list;
mod log;
mod merge;
mod read;
mod read_store;
mod snapshot;
mod state;
mod step;
mod store;

pub use read_store::{
    MemoryReadStore, MemoryReadStoreBuilder, MemoryTransaction, MemoryView, MissingModel,
};
pub use step::Step;
pub use store::{MemoryStore, MemoryStoreBuilder};

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
