//! A bank on the `cqrs` crates. Start with [`domain`]; `README.md` describes the modules.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod cli;
pub mod domain;
pub mod process;
pub mod read;
pub mod seed;
