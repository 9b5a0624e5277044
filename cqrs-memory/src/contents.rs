//! Everything a store holds; one lock guards it all.

use std::collections::BTreeMap;

use cqrs_core::{
    CommandId, StreamName, Timestamp,
    store::{CommandRecord, Snapshot, StoredState},
    subscription::SubscriptionName,
};
use hashbrown::HashMap;

use crate::checkpoints::Kept;
use crate::log::Log;

/// The log and what is kept beside it.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) log: Log,
    pub(crate) commands: HashMap<CommandId, CommandRecord>,
    pub(crate) states: HashMap<StreamName, StoredState>,
    pub(crate) snapshots: HashMap<StreamName, Snapshot>,
    pub(crate) checkpoints: BTreeMap<SubscriptionName, Kept>,
    /// How many leases were ever made on checkpoints.
    pub(crate) leases: u64,
}

impl Contents {
    /// Removes the commands recorded before a moment and counts them.
    pub(crate) fn forget_commands(&mut self, before: Timestamp) -> u64 {
        let all = self.commands.len();
        self.commands.retain(|_, record| record.appended.recorded_at >= before);
        (all - self.commands.len()) as u64
    }
}
