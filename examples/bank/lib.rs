//! A bank on the `cqrs` crates: where to look for what stands in its README.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod domain;
