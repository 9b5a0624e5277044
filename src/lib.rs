//! CQRS and event sourcing for Rust.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

// Listed, so that nothing becomes public by accident.
pub use cqrs_core::*;
#[cfg(feature = "memory")]
pub use cqrs_memory as memory;
#[cfg(feature = "testing")]
pub use cqrs_testing as testing;

#[doc(hidden)]
pub use cqrs_core::private;
