//! The Postgres event store.
//!
//! ```no_run
//! use cqrs_postgres::PgStore;
//!
//! # async fn run() -> Result<(), cqrs_core::store::StoreError> {
//! // Creates the tables at the first start, brings them up to date later.
//! let store = PgStore::builder().url("postgres://localhost/shop").migrate().await?;
//! # Ok(()) }
//! ```
//!
//! # What it does
//! Events of all streams stand in one table in the order of their commits, numbered 1, 2, 3 ...
//! without a gap. Appends that arrive while a commit is on its way share the next one; each keeps
//! its own expected version, its own answer and its own error. `DESIGN.md` beside this crate says
//! how and why.
//!
//! # In operation
//! - A store holds one connection for appends, up to [`max_read_connections`] for reads and, once
//!   somebody follows the log, one that listens.
//! - PostgreSQL 13 or newer. A pooler in front of it has to work in session mode, or give the
//!   store an address that goes past it.
//! - `select * from cqrs.log` shows the log to people. The database refuses to change it.
//!
//! [`max_read_connections`]: PgStoreBuilder::max_read_connections

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod append;
mod builder;
mod checkpoints;
mod commands;
mod connections;
mod epoch;
mod error;
mod head;
mod list;
mod moment;
mod names;
mod newest;
mod numbers;
mod read;
mod read_store;
mod schema;
mod snapshot;
mod sql;
mod state;
mod store;

pub use append::import::{ImportError, Imported};
pub use builder::PgStoreBuilder;
pub use read_store::{PgReadStore, PgReadStoreBuilder, PgReadTransaction};
pub use schema::Migration;
/// The driver, so that an application can use the version this crate speaks.
pub use sqlx;
pub use store::PgStore;

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
