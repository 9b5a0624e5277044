//! The store against a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod conformance;
