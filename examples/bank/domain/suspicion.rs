//! What somebody has to look at: a withdrawal that is unusually large.
#![allow(missing_docs, reason = "fields are named in the bank's own words")]

use std::convert::Infallible;

use cqrs_core::{Aggregate, Command, Event, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccountId, Money};

/// No rule asks for anything: what is reported is noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspicion;

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Suspicion, id = account_id)]
pub struct FlagWithdrawal {
    pub account_id: AccountId,
    pub amount: Money,
    pub at: Timestamp,
}

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
