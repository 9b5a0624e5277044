//! A warehouse on the `cqrs` crates; `README.md` describes the modules.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod cli;
pub mod domain;
pub mod low_stock;
pub mod read;
mod read_models;

pub use read_models::ReadModels;
