//! What people look at. Nothing here decides anything.

mod accounts;
mod history;

pub use accounts::{AccountRow, accounts};
pub use history::{Entry, RECENT, history};
