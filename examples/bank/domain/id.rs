//! The ids of accounts and transfers: UUIDs of different types, so that they cannot be mixed up.

use cqrs_core::{Id, event::Uuid};

/// The id of an account.
#[derive(Id)]
#[id(crate = cqrs_core)]
pub struct AccountId(Uuid);

/// The id of a transfer.
#[derive(Id)]
#[id(crate = cqrs_core)]
pub struct TransferId(Uuid);
