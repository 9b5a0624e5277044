//! Read models: what users look at. They contain no rules.
//!
//! Each read model has a file with its rows, what an event changes in them, and two projectors that do
//! so, in memory and in Postgres. [`ReadModels`] runs them and answers queries.

mod accounts;
mod event;
mod feed;
mod history;
mod models;
mod query;
mod statements;
mod transfers;

pub use accounts::{AccountRow, Accounts};
pub use event::BankEvent;
pub use feed::{Feed, FeedEntry};
pub use history::{Entry, RECENT, history};
pub use models::ReadModels;
pub use query::QueryError;
pub use statements::{Month, Statement, Statements};
pub use transfers::{TransferRow, TransferStatus, Transfers};
