//! Temporary PostgreSQL servers for tests.
//!
//! Most tests call [`Database::create`], which creates an empty database. It is on the server that
//! `DATABASE_URL` names, or on one that is started for this process from the installed programs.
//! [`Cluster::start`] starts a separate server, which a test may stop and kill.
//!
//! A server started here has the default durability settings and listens only on this machine. It
//! is removed with its data when the process that started it ends, even if that process is killed.

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
