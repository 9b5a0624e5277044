//! What the warehouse shows.

mod products;
mod side;

pub use products::{Products, ProductsInMemory, ProductsModel, products_in};
pub use side::{QueryError, ReadSide};
