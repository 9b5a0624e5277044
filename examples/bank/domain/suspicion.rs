//! Suspicious activity: withdrawals that an employee has to review.
#![allow(missing_docs, reason = "the names of fields and variants say it all")]

use std::convert::Infallible;

use cqrs_core::{Aggregate, Command, Event, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccountId, Money};

/// The flags of an account. No rule depends on them, so there is no state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspicion;

/// Flags a withdrawal.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Suspicion, id = account_id)]
pub struct FlagWithdrawal {
    pub account_id: AccountId,
    pub amount: Money,
    pub at: Timestamp,
}

/// Every event about suspicious activity.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum SuspicionEvent {
    #[event(name = "bank.suspicious-activity-flagged")]
    SuspiciousActivityFlagged { account_id: AccountId, amount: Money, at: Timestamp },
}

impl Aggregate for Suspicion {
    const CATEGORY: &'static str = "suspicion";
    type Id = AccountId;
    type Command = FlagWithdrawal;
    type Event = SuspicionEvent;
    type Error = Infallible;

    fn execute(&self, command: FlagWithdrawal) -> Result<Vec<SuspicionEvent>, Infallible> {
        let FlagWithdrawal { account_id, amount, at } = command;
        Ok(vec![SuspicionEvent::SuspiciousActivityFlagged { account_id, amount, at }])
    }

    fn apply(&mut self, _: &SuspicionEvent) {}
}
