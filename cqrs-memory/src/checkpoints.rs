//! Checkpoints of durable subscriptions. What is gone with the process needs no failover, but the
//! rules are the same, so that what works here works on a database.

use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::{
    Position, Timestamp,
    store::StoreError,
    subscription::{
        AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease,
        SubscriptionName,
    },
};
use uuid::Uuid;

use crate::{MemoryStore, Step};

/// What is kept of a subscription.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    position: Position,
    epoch: u64,
    holder: Option<(Uuid, Timestamp)>,
}

impl Kept {
    fn holder(self, now: Timestamp) -> Option<(Uuid, Timestamp)> {
        self.holder.filter(|(_, until)| *until > now)
    }

    fn shown(self, name: &SubscriptionName, now: Timestamp) -> Checkpoint {
        let (owner, until) = self.holder(now).unzip();
        Checkpoint::new(name.clone(), self.position, owner, until)
    }
}

impl MemoryStore {
    /// Changes a subscription if the lease is the newest.
    fn under(
        &self,
        lease: &SubscriptionLease,
        change: impl FnOnce(&mut Kept),
    ) -> Result<(), CheckpointError> {
        self.hooks().at(Step::BeforeCheckpoint)?;
        match self.contents_mut().checkpoints.get_mut(&lease.name) {
            Some(kept) if kept.epoch == lease.epoch => change(kept),
            _ => return Err(CheckpointError::Lost),
        }
        Ok(self.hooks().at(Step::AfterCheckpoint)?)
    }
}

#[async_trait]
impl CheckpointStore for MemoryStore {
    async fn acquire(
        &self,
        name: &SubscriptionName,
        start: Position,
        owner: Uuid,
        duration: Duration,
    ) -> Result<SubscriptionLease, AcquireError> {
        self.hooks().at(Step::BeforeCheckpoint)?;
        let now = self.now();
        let lease = {
            let mut contents = self.contents_mut();
            let kept = contents.checkpoints.get(name).copied();
            match kept.and_then(|kept| kept.holder(now)) {
                Some((holder, until)) if holder != owner => {
                    return Err(AcquireError::Held { until });
                }
                _ => {}
            }
            contents.leases += 1;
            let (position, epoch) = (kept.map_or(start, |kept| kept.position), contents.leases);
            let kept = Kept { position, epoch, holder: Some((owner, now.plus(duration))) };
            contents.checkpoints.insert(name.clone(), kept);
            SubscriptionLease::new(name.clone(), epoch, position)
        };
        self.hooks().at(Step::AfterCheckpoint)?;
        Ok(lease)
    }

    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError> {
        let until = self.now().plus(duration);
        self.under(lease, |kept| kept.holder = kept.holder.map(|(owner, _)| (owner, until)))
    }

    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError> {
        self.under(lease, |kept| kept.position = kept.position.max(position))
    }

    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError> {
        match self.under(lease, |kept| kept.holder = None) {
            Ok(()) | Err(CheckpointError::Lost) => Ok(()),
            Err(CheckpointError::Store(error)) => Err(error),
            Err(other) => {
                Err(StoreError::new(cqrs_core::store::StoreErrorKind::Internal, other.to_string()))
            }
        }
    }

    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        let now = self.now();
        Ok(self.contents().checkpoints.get(name).map(|kept| kept.shown(name, now)))
    }

    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        let now = self.now();
        let all = &self.contents().checkpoints;
        Ok(all.iter().map(|(name, kept)| kept.shown(name, now)).collect())
    }

    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError> {
        self.hooks().at(Step::BeforeCheckpoint)?;
        let is_there = {
            let mut contents = self.contents_mut();
            contents.leases += 1;
            let epoch = contents.leases;
            let kept = contents.checkpoints.get_mut(name);
            kept.map(|kept| *kept = Kept { position, epoch, holder: None }).is_some()
        };
        self.hooks().at(Step::AfterCheckpoint)?;
        Ok(is_there)
    }

    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError> {
        self.hooks().at(Step::BeforeCheckpoint)?;
        let removed = self.contents_mut().checkpoints.remove(name);
        self.hooks().at(Step::AfterCheckpoint)?;
        Ok(removed.is_some())
    }
}
