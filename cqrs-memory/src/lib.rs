//! An event store, read store and process store in memory.
//!
//! They require no installation and give the same guarantees as stores on a database, except that
//! their contents are lost when the process ends. Use them in tests, early in development, and as
//! the reference for a new store.
//!
//! # Events
//!
//! [`MemoryStore`] implements [`EventStore`](cqrs_core::EventStore),
//! [`SnapshotStore`](cqrs_core::store::SnapshotStore), [`StateStore`](cqrs_core::store::StateStore) and
//! [`CheckpointStore`](cqrs_core::subscription::CheckpointStore):
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
//! - Events are stored as JSON, as on disk, so tests detect events that cannot be serialized.
//! - [`MemoryStore::new`] always creates an independent store, so tests do not affect each other.
//! - Reads use the narrowest index for their filter and skip the rest of the log.
//!
//! # Read models and processes
//!
//! [`MemoryReadStore`] stores the read models of projectors as values, which queries access through
//! a [`MemoryView`]. It is also a store for processes.
//!
//! # Failures and time in tests
//!
//! Both builders accept a [`Clock`](cqrs_core::app::Clock) and a hook that runs at each [`Step`], where it
//! can make the store fail.

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
