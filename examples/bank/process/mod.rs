//! What happens by itself when something has happened.

mod transfer;

pub use transfer::{MoneyTransfer, Progress};
