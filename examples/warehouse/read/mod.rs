//! What the warehouse shows.

mod products;
mod side;

pub use products::{Products, ProductsInMemory};
pub use side::{QueryError, ReadSide};
