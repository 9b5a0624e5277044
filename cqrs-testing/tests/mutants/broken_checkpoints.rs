//! The checkpoints of the broken store.

use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::{
    Position, StreamName, Timestamp, Version,
    event::Payload,
    store::{Snapshot, SnapshotStore, StoreError},
    subscription::{
        AcquireError, Checkpoint, CheckpointError, CheckpointStore, SubscriptionLease,
        SubscriptionName,
    },
};
use uuid::Uuid;

use crate::broken::Broken;
use crate::fault::Fault;

/// Names the snapshot in which a mutant keeps the last saved position instead of the highest.
fn last(name: &SubscriptionName) -> StreamName {
    StreamName::new(format!("last-{name}")).unwrap()
}

#[async_trait]
impl CheckpointStore for Broken {
    async fn acquire(
        &self,
        name: &SubscriptionName,
        start: Position,
        owner: Uuid,
        duration: Duration,
    ) -> Result<SubscriptionLease, AcquireError> {
        let failed = |source| AcquireError::Store { name: name.clone(), source };
        if self.fault == Fault::StartAppliesAlways {
            self.inner.reset_checkpoint(name, start).await.map_err(failed)?;
        }
        match self.inner.acquire(name, start, owner, duration).await {
            Err(AcquireError::Held { .. }) if self.fault == Fault::LeaseNotExclusive => {
                let kept = self.inner.find_checkpoint(name).await.map_err(failed)?;
                let position = kept.map_or(start, |kept| kept.position);
                self.inner.reset_checkpoint(name, position).await.map_err(failed)?;
                self.inner.acquire(name, start, owner, duration).await
            }
            acquired => acquired,
        }
    }

    async fn renew(
        &self,
        lease: &SubscriptionLease,
        duration: Duration,
    ) -> Result<(), CheckpointError> {
        match self.fault {
            Fault::RenewalForgotten => Ok(()),
            _ => self.inner.renew(lease, duration).await,
        }
    }

    async fn save_checkpoint(
        &self,
        lease: &SubscriptionLease,
        position: Position,
    ) -> Result<(), CheckpointError> {
        let saved = self.inner.save_checkpoint(lease, position).await;
        match (self.fault, saved) {
            (Fault::LostLeaseUnnoticed, Err(CheckpointError::Lost { .. })) => Ok(()),
            (Fault::LastCheckpointKept, Ok(())) => {
                let version = Version::new(position.get());
                let nothing = Payload::encode(&()).unwrap();
                let moment = Timestamp::UNIX_EPOCH;
                let snapshot = Snapshot::new(last(&lease.name), version, "", nothing, moment);
                self.inner
                    .save_snapshot(snapshot)
                    .await
                    .map_err(|source| CheckpointError::Store { name: lease.name.clone(), source })
            }
            (_, saved) => saved,
        }
    }

    async fn release(&self, lease: &SubscriptionLease) -> Result<(), StoreError> {
        match self.fault {
            Fault::ReleaseForgotten => Ok(()),
            _ => self.inner.release(lease).await,
        }
    }

    async fn find_checkpoint(
        &self,
        name: &SubscriptionName,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let mut found = self.inner.find_checkpoint(name).await?;
        if let Some(found) = &mut found {
            match self.fault {
                Fault::CheckpointTooHigh => found.position = found.position.next(),
                Fault::LastCheckpointKept => {
                    if let Some(snapshot) = self.inner.load_snapshot(&last(name)).await? {
                        found.position = Position::new(snapshot.version.get());
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        let mut listed = self.inner.list_checkpoints().await?;
        if self.fault == Fault::CheckpointsUnsorted {
            listed.reverse();
        }
        Ok(listed)
    }

    async fn reset_checkpoint(
        &self,
        name: &SubscriptionName,
        position: Position,
    ) -> Result<bool, StoreError> {
        match self.fault {
            Fault::ResetForgotten => Ok(self.inner.find_checkpoint(name).await?.is_some()),
            _ => self.inner.reset_checkpoint(name, position).await,
        }
    }

    async fn delete_checkpoint(&self, name: &SubscriptionName) -> Result<bool, StoreError> {
        match self.fault {
            Fault::DeleteForgotten => Ok(self.inner.find_checkpoint(name).await?.is_some()),
            _ => self.inner.delete_checkpoint(name).await,
        }
    }
}
