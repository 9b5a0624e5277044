//! Throw-away PostgreSQL servers for the tests.
//!
//! [`Database::create`] is what most tests want: an empty database of their own. It stands on the
//! server that `DATABASE_URL` names, or on one started for this process from the installed
//! binaries. [`Cluster::start`] gives a private server that a test may stop and kill.
//!
//! A server started here is as durable as any, listens on this machine only, and is removed with
//! all its data when its process ends, however it ends.

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
