//! Automatic reactions to events.

mod end_of_day;
mod fraud;
mod side;
mod transfer;

pub use end_of_day::EndOfDay;
pub use fraud::FlagLargeWithdrawals;
pub use side::ProcessSide;
pub use transfer::{MoneyTransfer, Progress};
