//! `CheckpointStore` for [`MemoryStore`].
//!
//! A store in memory needs no failover, but it follows the same rules as the other stores, so that
//! code that works with it also works with a database.

use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::{
    Position,
    store::StoreError,
    subscription::{
        AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease,
        SubscriptionName,
    },
};
use uuid::Uuid;

use crate::contents::SubscriptionRecord;
use crate::{MemoryStore, Step};

impl MemoryStore {
    /// Changes the record of a subscription if the lease is still valid.
    fn update_leased(
        &self,
        lease: &SubscriptionLease,
        change: impl FnOnce(&mut SubscriptionRecord),
    ) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Store { name: lease.name.clone(), source };
        self.hooks().at(Step::BeforeCheckpoint).map_err(failed)?;
        match self.contents_mut().checkpoints.get_mut(&lease.name) {
            Some(record) if record.epoch == lease.epoch => change(record),
            _ => return Err(CheckpointError::Lost { name: lease.name.clone() }),
        }
        self.hooks().at(Step::AfterCheckpoint).map_err(failed)
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
        let failed = |source| AcquireError::Store { name: name.clone(), source };
        self.hooks().at(Step::BeforeCheckpoint).map_err(failed)?;
        let now = self.now();
        let lease = {
            let mut contents = self.contents_mut();
            let record = contents.checkpoints.get(name).copied();
            match record.and_then(|record| record.holder(now)) {
                Some((holder, until)) if holder != owner => {
                    return Err(AcquireError::Held { name: name.clone(), until });
                }
                _ => {}
            }
            let position = record.map_or(start, |record| record.position);
            let (epoch, holder) = (contents.next_epoch(), Some((owner, now.plus(duration))));
            let record = SubscriptionRecord { position, epoch, holder };
            contents.checkpoints.insert(name.clone(), record);
            SubscriptionLease::new(name.clone(), epoch, position)
        };
        self.hooks().at(Step::AfterCheckpoint).map_err(failed)?;
        Ok(lease)
    }

    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError> {
        let until = self.now().plus(duration);
        self.update_leased(lease, |record| {
            record.holder = record.holder.map(|(owner, _)| (owner, until));
        })
    }

    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError> {
        self.update_leased(lease, |record| record.position = record.position.max(position))
    }

    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError> {
        match self.update_leased(lease, |record| record.holder = None) {
            Ok(()) | Err(CheckpointError::Lost { .. }) => Ok(()),
            Err(CheckpointError::Store { source, .. }) => Err(source),
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
        Ok(self.contents().checkpoints.get(name).map(|record| record.checkpoint(name, now)))
    }

    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        let now = self.now();
        let all = &self.contents().checkpoints;
        Ok(all.iter().map(|(name, record)| record.checkpoint(name, now)).collect())
    }

    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError> {
        self.hooks().at(Step::BeforeCheckpoint)?;
        let exists = {
            let mut contents = self.contents_mut();
            let epoch = contents.next_epoch();
            let record = contents.checkpoints.get_mut(name);
            record
                .map(|record| *record = SubscriptionRecord { position, epoch, holder: None })
                .is_some()
        };
        self.hooks().at(Step::AfterCheckpoint)?;
        Ok(exists)
    }

    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError> {
        self.hooks().at(Step::BeforeCheckpoint)?;
        let removed = self.contents_mut().checkpoints.remove(name);
        self.hooks().at(Step::AfterCheckpoint)?;
        Ok(removed.is_some())
    }
}
