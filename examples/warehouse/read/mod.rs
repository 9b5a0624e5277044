//! What the warehouse shows.

mod products;

pub use products::products;
