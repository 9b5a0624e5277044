//! Read models in Postgres.

mod builder;
mod database;
mod generations;
mod inline;
mod leases;
mod parked;
mod process;
mod rows;
mod sql;
mod store;

pub use builder::PgReadStoreBuilder;
pub use database::PgReadTransaction;
pub use store::PgReadStore;
