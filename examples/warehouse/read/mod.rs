//! The products read model, and what all queries share.

mod products;
mod query;

pub use products::{Products, ProductsModel, products_in};
pub use query::QueryError;
