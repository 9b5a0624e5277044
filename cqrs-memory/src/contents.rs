//! Everything that a store holds, guarded by one lock.

use std::collections::BTreeMap;

use cqrs_core::{
    CommandId, Position, StreamName, Timestamp,
    store::{CommandRecord, Snapshot, StoredState},
    subscription::{Checkpoint, SubscriptionName},
};
use hashbrown::HashMap;
use uuid::Uuid;

use crate::log::Log;

#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) log: Log,
    pub(crate) commands: HashMap<CommandId, CommandRecord>,
    pub(crate) states: HashMap<StreamName, StoredState>,
    pub(crate) snapshots: HashMap<StreamName, Snapshot>,
    pub(crate) checkpoints: BTreeMap<SubscriptionName, SubscriptionRecord>,
    /// The epoch of the newest lease on a subscription.
    epoch: u64,
}

impl Contents {
    /// Removes the commands recorded before a time and returns their number.
    pub(crate) fn forget_commands(&mut self, before: Timestamp) -> u64 {
        let all = self.commands.len();
        self.commands.retain(|_, record| record.appended.recorded_at >= before);
        (all - self.commands.len()) as u64
    }

    /// Returns an epoch that no lease had before.
    pub(crate) fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }
}

/// The checkpoint of a durable subscription and its newest lease.
#[derive(Clone, Copy)]
pub(crate) struct SubscriptionRecord {
    pub(crate) position: Position,
    /// The epoch of the newest lease; older leases are lost.
    pub(crate) epoch: u64,
    /// The holder of the lease, and when the lease expires.
    pub(crate) holder: Option<(Uuid, Timestamp)>,
}

impl SubscriptionRecord {
    /// Returns the holder, unless its lease has expired.
    pub(crate) fn holder(self, now: Timestamp) -> Option<(Uuid, Timestamp)> {
        self.holder.filter(|(_, until)| *until > now)
    }

    pub(crate) fn checkpoint(self, name: &SubscriptionName, now: Timestamp) -> Checkpoint {
        let (owner, until) = self.holder(now).unzip();
        Checkpoint::new(name.clone(), self.position, owner, until)
    }
}
