//! What handles ask of a running node, whatever its read store is.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::sync::watch;

use super::OperatorError;
use super::builder::StartError;
use super::health::Health;
use super::node::Shared;
use super::read_store::ReadStore;
use super::records::{ConsumerRecord, ParkedEvent};
use super::wait::Positions;
use crate::names::ConsumerName;
use crate::{Position, StoreError};

#[async_trait]
pub(super) trait Running: Positions {
    fn names(&self) -> Vec<ConsumerName>;
    /// Told at each heartbeat, and when something was handled.
    fn progressed(&self) -> watch::Receiver<u64>;
    /// How far what readers see has got, without asking the store.
    fn position_now(&self, name: &ConsumerName) -> Option<Position>;
    /// Says whether a generation was begun.
    async fn build_anew(&self, name: &ConsumerName) -> Result<bool, StartError>;
    async fn cancel(&self, name: &ConsumerName) -> Result<bool, StoreError>;
    async fn set_paused(&self, name: &ConsumerName, paused: bool) -> Result<bool, StoreError>;
    async fn look_up(&self, name: &ConsumerName) -> Result<Option<ConsumerRecord>, StoreError>;
    async fn healths(&self) -> Result<Vec<Health>, OperatorError>;
    async fn parked(
        &self,
        name: &ConsumerName,
        generation: u64,
    ) -> Result<Vec<ParkedEvent>, StoreError>;
    async fn retry_parked(&self, name: &ConsumerName, key: Option<&str>)
    -> Result<u64, StoreError>;
    async fn discard_parked(
        &self,
        name: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError>;
    fn wake(&self);
    fn is_process(&self, name: &ConsumerName) -> bool;
    fn stop(&self);
    fn is_stopping(&self) -> bool;
    fn has_left(&self) -> bool;
}

#[async_trait]
impl<S: ReadStore> Running for Shared<S> {
    fn names(&self) -> Vec<ConsumerName> {
        self.projectors.iter().map(|projector| projector.name().clone()).collect()
    }

    fn progressed(&self) -> watch::Receiver<u64> {
        self.progressed.subscribe()
    }

    fn position_now(&self, name: &ConsumerName) -> Option<Position> {
        let cluster = self.cluster.read().unwrap_or_else(PoisonError::into_inner);
        let record = cluster.consumers.iter().find(|record| record.name == *name)?;
        let statuses = self.statuses();
        let positions = record.partitions(record.live()?).map(|(partition, record)| {
            let here = statuses.get(&partition).map(|status| status.inner().cursor);
            here.unwrap_or_default().max(record.position)
        });
        positions.min()
    }

    async fn build_anew(&self, name: &ConsumerName) -> Result<bool, StartError> {
        let Some(projector) = self.find(name) else { return Ok(false) };
        let begun = self.build(&**projector).await?;
        self.nudge.notify_one();
        Ok(begun)
    }

    async fn cancel(&self, name: &ConsumerName) -> Result<bool, StoreError> {
        let cancelled = self.read.cancel(name).await?;
        self.nudge.notify_one();
        Ok(cancelled)
    }

    async fn set_paused(&self, name: &ConsumerName, paused: bool) -> Result<bool, StoreError> {
        let known = self.read.set_paused(name, paused).await?;
        self.nudge.notify_one();
        Ok(known)
    }

    async fn look_up(&self, name: &ConsumerName) -> Result<Option<ConsumerRecord>, StoreError> {
        Ok(self.read.inspect(Some(name)).await?.into_iter().next())
    }

    async fn healths(&self) -> Result<Vec<Health>, OperatorError> {
        let records = self.read.inspect(None).await?;
        let head = self.events.head().await?;
        let mut all = Vec::with_capacity(self.projectors.len());
        for projector in &self.projectors {
            let record = records.iter().find(|record| record.name == *projector.name());
            all.push(self.health(&**projector, record, head).await?);
        }
        Ok(all)
    }

    async fn parked(
        &self,
        name: &ConsumerName,
        generation: u64,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        self.read.parked(name, generation, None).await
    }

    async fn retry_parked(
        &self,
        name: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError> {
        let events = self.read.request_retry(name, key).await?;
        self.nudge.notify_one();
        Ok(events)
    }

    async fn discard_parked(
        &self,
        name: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let discarded = self.read.discard(name, position, reason).await?;
        self.nudge.notify_one();
        Ok(discarded)
    }

    fn is_process(&self, name: &ConsumerName) -> bool {
        self.find(name).is_some_and(|projector| projector.is_process())
    }

    fn wake(&self) {
        self.progressed.send_modify(|count| *count += 1);
    }

    fn stop(&self) {
        self.stopping.send_replace(true);
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}
