//! The operations on a running node that handles offer.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::consumer::Consumer;
use super::health::health;
use super::shared::Shared;
use crate::names::ConsumerName;
use crate::projection::consumers::RunningNode;
use crate::projection::error::{OperatorError, StartError};
use crate::projection::health::Health;
use crate::projection::store::{ConsumerRecord, ParkedEvent, ReadStore};
use crate::{Position, StoreError};

/// A node as its handles see it.
pub(super) struct NodeHandle<S: ReadStore> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) consumers: Arc<[Arc<dyn Consumer<S>>]>,
}

impl<S: ReadStore> NodeHandle<S> {
    pub(super) fn find(&self, name: &ConsumerName) -> Option<&Arc<dyn Consumer<S>>> {
        self.consumers.iter().find(|consumer| consumer.name() == name)
    }
}

#[async_trait]
impl<S: ReadStore> RunningNode for NodeHandle<S> {
    fn names(&self) -> Vec<ConsumerName> {
        self.consumers.iter().map(|consumer| consumer.name().clone()).collect()
    }

    fn progress(&self) -> watch::Receiver<u64> {
        self.shared.progress()
    }

    fn live_position(&self, name: &ConsumerName) -> Option<Position> {
        let cluster = self.shared.cluster();
        let record = cluster.consumers.iter().find(|record| record.name == *name)?;
        let statuses = self.shared.statuses();
        let positions = record.partitions(record.live()?).map(|(partition, record)| {
            let here = statuses.get(&partition).map(|status| status.inner().cursor);
            here.unwrap_or_default().max(record.position)
        });
        positions.min()
    }

    async fn rebuild(&self, name: &ConsumerName) -> Result<bool, StartError> {
        let Some(consumer) = self.find(name) else { return Ok(false) };
        let is_new = self.shared.build(&**consumer).await?;
        self.shared.request_heartbeat();
        Ok(is_new)
    }

    async fn cancel_rebuild(&self, name: &ConsumerName) -> Result<bool, StoreError> {
        let cancelled = self.shared.read.cancel(name).await?;
        self.shared.request_heartbeat();
        Ok(cancelled)
    }

    async fn set_paused(&self, name: &ConsumerName, paused: bool) -> Result<bool, StoreError> {
        let exists = self.shared.read.set_paused(name, paused).await?;
        self.shared.request_heartbeat();
        Ok(exists)
    }

    async fn record(&self, name: &ConsumerName) -> Result<Option<ConsumerRecord>, StoreError> {
        Ok(self.shared.read.inspect(Some(name)).await?.into_iter().next())
    }

    async fn health(&self) -> Result<Vec<Health>, OperatorError> {
        let records = self.shared.read.inspect(None).await?;
        let head = self.shared.head().await?;
        let mut all = Vec::with_capacity(self.consumers.len());
        for consumer in &*self.consumers {
            let record = records.iter().find(|record| record.name == *consumer.name());
            all.push(health(&self.shared, &**consumer, record, head).await?);
        }
        Ok(all)
    }

    async fn parked(
        &self,
        name: &ConsumerName,
        generation: u64,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        self.shared.read.parked(name, generation, None).await
    }

    async fn retry_parked(
        &self,
        name: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError> {
        let events = self.shared.read.request_retry(name, key).await?;
        self.shared.request_heartbeat();
        Ok(events)
    }

    async fn discard_parked(
        &self,
        name: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let discarded = self.shared.read.discard(name, position, reason).await?;
        self.shared.request_heartbeat();
        Ok(discarded)
    }

    fn wake(&self) {
        self.shared.progressed();
    }

    fn stop(&self) {
        self.shared.stop();
    }

    fn is_stopping(&self) -> bool {
        *self.shared.stopping().borrow()
    }

    fn has_stopped(&self) -> bool {
        self.shared.has_stopped()
    }
}
