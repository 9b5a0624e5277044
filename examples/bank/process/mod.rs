//! What happens by itself when something has happened.

mod side;
mod transfer;

pub use side::ProcessSide;
pub use transfer::{MoneyTransfer, Progress};
