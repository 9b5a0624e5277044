//! The Postgres event store, and read models and processes in Postgres.
//!
//! Events of all streams are in one table, in the order of their commits, numbered 1, 2, 3 ...
//! without a gap. Concurrent appends share transactions; each keeps its own expected version and its
//! own outcome. `DESIGN.md` explains how and why.
//!
//! # Connect and migrate
//!
//! [`PgStoreBuilder::migrate`] creates the tables on the first start and updates them later.
//! [`PgStore::connect`] only checks them, for roles that may not change tables;
//! [`PgStoreBuilder::sql`] returns the migrations as a script for an administrator.
//!
//! ```no_run
//! use cqrs_postgres::PgStore;
//!
//! # async fn run() -> Result<(), cqrs_core::store::StoreError> {
//! let store = PgStore::builder().url("postgres://localhost/shop").migrate().await?;
//! # Ok(()) }
//! ```
//!
//! A [`PgStore`] is an [`EventStore`](cqrs_core::EventStore), and also stores snapshots, states and
//! the checkpoints of subscriptions. Give it to an `App`.
//!
//! # Append in a transaction
//!
//! [`PgStore::append_in`] appends in a transaction of your own, so that events and rows of other
//! tables are committed together. Append last and commit at once: other appends wait.
//!
//! ```no_run
//! # use cqrs_core::store::Append;
//! # use cqrs_postgres::PgStore;
//! # async fn run(store: PgStore, pool: sqlx::PgPool, append: Append) -> Result<(), Box<dyn std::error::Error>> {
//! let mut transaction = pool.begin().await?;
//! sqlx::query("update invoices set paid = true where id = 7").execute(&mut *transaction).await?;
//! store.append_in(&mut transaction, append).await?;
//! transaction.commit().await?;
//! # Ok(()) }
//! ```
//!
//! # Read models
//!
//! A projector writes its tables through a [`PgReadTransaction`], in the same transaction as its
//! checkpoint: each event is projected exactly once. [`PgReadStore`] shows a complete one. [`Pg`]
//! binds and reads positions, times and ids without casts:
//!
//! ```no_run
//! # use cqrs_core::Recorded;
//! # use cqrs_postgres::{Pg, PgReadTransaction};
//! # struct Opened { owner: String }
//! # async fn project(tx: &mut PgReadTransaction, event: &Recorded<Opened>) -> Result<(), sqlx::Error> {
//! sqlx::query("insert into accounts (owner, opened_at, position) values ($1, $2, $3)")
//!     .bind(&event.event.owner)
//!     .bind(Pg(event.recorded_at))
//!     .bind(Pg(event.position))
//!     .execute(&mut **tx)
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! # Queries
//!
//! [`PgReadStore::begin_read`] begins a read-only transaction in which the tables of a read model
//! need no schema, whether it was rebuilt or not:
//!
//! ```no_run
//! # async fn run(read: cqrs_postgres::PgReadStore) -> Result<(), Box<dyn std::error::Error>> {
//! let mut tx = read.begin_read("accounts").await?;
//! let owners: Vec<String> =
//!     sqlx::query_scalar("select owner from accounts").fetch_all(&mut *tx).await?;
//! # Ok(()) }
//! ```
//!
//! # Processes
//!
//! [`PgReadStore::for_processes`] opens the store of process managers: the same tables in schemas of
//! their own, with durable commits.
//!
//! # Connections
//!
//! A [`PgStore`] has one connection for appends, up to
//! [`max_read_connections`](PgStoreBuilder::max_read_connections) for reads and, once a reader waits
//! for new events, one that listens. A [`PgReadStore`] has a pool. Both can share a
//! [pool of the application](PgStoreBuilder::pool); appends never wait for it.
//!
//! # Operating
//!
//! - PostgreSQL 13 or newer. A pooler in front of it has to work in session mode; otherwise give the
//!   store the address of the server itself.
//! - `select * from cqrs.log` shows the log. The database rejects changes to it.
//! - Errors are [`StoreError`](cqrs_core::store::StoreError)s; their kind says whether a retry helps
//!   and their source is the driver's error.
//!
#![cfg_attr(
    feature = "testing",
    doc = "# Testing\n\n[`testing::TestSchema`] creates schemas for one test and drops them after it.\n"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod append;
mod commands;
mod database;
mod list;
mod pg;
mod read;
mod read_store;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use database::schema::Migration;
pub use pg::{Pg, PgColumn};
pub use read_store::{PgReadStore, PgReadStoreBuilder, PgReadTransaction};
/// The driver, so that an application can use the same version as this crate.
pub use sqlx;
pub use store::{ImportError, Imported, PgStore, PgStoreBuilder};

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
