//! The rules of the warehouse: pure and synchronous, without a database, a clock or a runtime.

pub mod order;
pub mod product;
mod quantity;
mod sku;

pub use product::{Product, ProductCommand, ProductError, ProductEvent};
pub use quantity::{InvalidQuantity, Quantity};
pub use sku::{InvalidSku, Sku};
