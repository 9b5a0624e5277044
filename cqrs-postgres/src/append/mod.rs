//! Appending: many appends in one transaction of the database, each with its own outcome.
//!
//! The common case assumes that no append is repeated. Unique indexes and version checks catch
//! those that are; only then does [`repeated`] look up the first outcome.

pub(crate) mod batch;
pub(crate) mod prepared;
pub(crate) mod queue;
pub(crate) mod repeated;
mod types;
mod writer;
