//! Temporary PostgreSQL servers for the tests.
//!
//! Most tests use [`Database::create`], an empty database on the server that `DATABASE_URL` names, or
//! on one that is started for this process from the installed binaries. [`Cluster::start`] returns a
//! private server that a test may stop and kill.
//!
//! A server started here is as durable as any other, listens on this machine only, and is removed with
//! its data when the process ends in any way.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod binaries;
mod chance;
mod database;
mod pooler;
mod server;

pub use binaries::{Binaries, NotInstalled};
pub use chance::Chance;
pub use database::Database;
pub use pooler::Pooler;
pub use server::Cluster;
