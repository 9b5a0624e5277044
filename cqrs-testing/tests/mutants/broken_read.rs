//! A wrapper of the memory read store that breaks one law.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::projection::store::{
    Capability, Cluster, CommitError, ConsumerRecord, Failure, LeaseError, NewGeneration,
    ParkedEvent, Partition, PartitionLease, Swap,
};
use cqrs_core::{
    Position, Timestamp,
    app::Clock,
    projection::{ConsumerName, ProjectError, ReadStore},
    store::StoreError,
};
use cqrs_memory::{MemoryReadStore, MemoryTransaction};
use cqrs_testing::{Row, Tables};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    None,
    VisibleBeforeSwap,
    CheckpointNotSaved,
    SecondGenerationReplacesFirst,
    StartIgnored,
    SwapDoesNothing,
    LagIgnored,
    CancelForgotten,
    TablesShared,
    LeaseStolen,
    LeaseForgetsPosition,
    LeaseGrantedTwice,
    LeaseRevived,
    LeaveForgotten,
    ProgressForgotten,
    CapabilitiesForgotten,
    FailureForgotten,
    PauseForgotten,
    LostCommitsUnnoticed,
    VersionUnchecked,
    ParkedReversed,
    RetryOfAll,
    ReasonForgotten,
}

use ReadFault as F;

/// The mutants and the cases that must catch them.
pub(crate) const CAUGHT_BY: &[(ReadFault, &str)] = &[
    (F::VisibleBeforeSwap, "a_generation_is_visible_after_its_swap"),
    (F::CheckpointNotSaved, "rows_and_checkpoint_are_committed_together"),
    (F::SecondGenerationReplacesFirst, "only_one_generation_is_built_at_a_time"),
    (F::StartIgnored, "a_generation_starts_after_the_given_position"),
    (F::SwapDoesNothing, "the_live_generation_stays_until_the_swap"),
    (F::LagIgnored, "a_generation_is_not_swapped_in_while_it_lags"),
    (F::CancelForgotten, "a_cancelled_generation_accepts_no_writes"),
    (F::TablesShared, "projectors_have_separate_tables"),
    (F::LeaseStolen, "a_partition_has_one_owner_at_a_time"),
    (F::LeaseForgetsPosition, "an_owner_without_heartbeats_is_replaced"),
    (F::LeaseGrantedTwice, "an_owner_that_lost_its_lease_writes_nothing"),
    (F::LeaveForgotten, "a_leaving_node_releases_its_partitions"),
    (F::ProgressForgotten, "progress_is_saved_under_the_newest_lease_only"),
    (F::CapabilitiesForgotten, "a_heartbeat_returns_the_live_nodes"),
    (F::FailureForgotten, "a_failure_is_recorded_until_it_is_cleared"),
    (F::PauseForgotten, "a_pause_is_visible_to_every_node"),
    (F::LostCommitsUnnoticed, "a_lease_is_lost_if_its_checkpoint_went_back"),
    (F::VersionUnchecked, "an_inline_write_enters_only_the_live_generation"),
    (F::LeaseRevived, "an_inline_write_ends_the_lease"),
    (F::ParkedReversed, "an_event_is_parked_with_its_transaction"),
    (F::RetryOfAll, "a_retry_is_requested_by_key"),
    (F::ReasonForgotten, "a_discarded_event_stays_on_record"),
];

/// The paused clock of the runtime.
#[derive(Debug)]
struct Paused(tokio::time::Instant);

impl Paused {
    fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.0.elapsed().as_micros()).unwrap())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct BrokenRead {
    inner: MemoryReadStore,
    fault: ReadFault,
    /// The newest lease of each partition, and its owner.
    leases: Arc<Mutex<HashMap<Partition, (Uuid, PartitionLease)>>>,
    begun: Arc<Mutex<Option<(ConsumerName, u64)>>>,
}

impl BrokenRead {
    pub(crate) fn new(fault: ReadFault) -> Self {
        let inner = MemoryReadStore::builder().clock(Paused::new()).build();
        Self { inner, fault, leases: Arc::default(), begun: Arc::default() }
    }

    fn is(&self, fault: ReadFault) -> bool {
        self.fault == fault
    }

    fn name(&self, name: &ConsumerName) -> ConsumerName {
        if self.is(F::TablesShared) { ConsumerName::new("all").unwrap() } else { name.clone() }
    }

    fn partition(&self, partition: &Partition) -> Partition {
        Partition { consumer: self.name(&partition.consumer), ..partition.clone() }
    }

    fn under(&self, lease: &PartitionLease) -> PartitionLease {
        let mut lease = lease.clone();
        lease.partition = self.partition(&lease.partition);
        if self.is(F::LostCommitsUnnoticed) {
            lease.position = Position::START;
        }
        if self.is(F::LeaseRevived)
            && let Some((_, newest)) = self.leases.lock().unwrap().get(&lease.partition)
        {
            return newest.clone();
        }
        lease
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ReadStore for BrokenRead {
    type Transaction = MemoryTransaction;

    async fn heartbeat(
        &self,
        node: Uuid,
        lease: Duration,
        capabilities: &[Capability],
        progress: &[PartitionLease],
    ) -> Result<Cluster, StoreError> {
        let capabilities = if self.is(F::CapabilitiesForgotten) { &[] } else { capabilities };
        let progress = if self.is(F::ProgressForgotten) { &[] } else { progress };
        self.inner.heartbeat(node, lease, capabilities, progress).await
    }

    async fn leave(&self, node: Uuid) -> Result<(), StoreError> {
        if self.is(F::LeaveForgotten) {
            return Ok(());
        }
        self.inner.leave(node).await
    }

    async fn acquire(
        &self,
        node: Uuid,
        partition: &Partition,
    ) -> Result<Option<PartitionLease>, StoreError> {
        let partition = self.partition(partition);
        let known = self.leases.lock().unwrap().get(&partition).cloned();
        if let Some((owner, lease)) = known {
            if self.is(F::LeaseGrantedTwice) {
                return Ok(Some(lease));
            }
            if self.is(F::LeaseStolen) {
                self.inner.leave(owner).await?;
            }
        }
        let Some(mut lease) = self.inner.acquire(node, &partition).await? else { return Ok(None) };
        if self.is(F::LeaseForgetsPosition) {
            lease.position = Position::START;
        }
        self.leases.lock().unwrap().insert(partition, (node, lease.clone()));
        Ok(Some(lease))
    }

    async fn release(&self, lease: &PartitionLease) -> Result<(), StoreError> {
        self.inner.release(&self.under(lease)).await
    }

    async fn begin(&self, lease: &PartitionLease) -> Result<MemoryTransaction, LeaseError> {
        match self.inner.begin(&self.under(lease)).await {
            Err(LeaseError::Lost) if self.is(F::LeaseRevived) => {
                let known = self.leases.lock().unwrap().get(&lease.partition).cloned();
                let (node, _) = known.ok_or(LeaseError::Lost)?;
                let again = self.acquire(node, &lease.partition).await?;
                self.inner.begin(&again.ok_or(LeaseError::Lost)?).await
            }
            begun => begun,
        }
    }

    async fn commit(
        &self,
        tx: MemoryTransaction,
        lease: &PartitionLease,
        through: Position,
    ) -> Result<(), CommitError> {
        let through = if self.is(F::CheckpointNotSaved) { Position::START } else { through };
        self.inner.commit(tx, &self.under(lease), through).await
    }

    fn is_transient(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        self.inner.is_transient(error)
    }

    async fn park(
        &self,
        tx: &mut MemoryTransaction,
        lease: &PartitionLease,
        event: &ParkedEvent,
    ) -> Result<(), StoreError> {
        self.inner.park(tx, &self.under(lease), event).await
    }

    async fn unpark(
        &self,
        tx: &mut MemoryTransaction,
        lease: &PartitionLease,
        position: Position,
    ) -> Result<(), StoreError> {
        self.inner.unpark(tx, &self.under(lease), position).await
    }

    async fn parked(
        &self,
        projector: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let mut parked = self.inner.parked(&self.name(projector), generation, number).await?;
        if self.is(F::ParkedReversed) {
            parked.reverse();
        }
        Ok(parked)
    }

    async fn request_retry(
        &self,
        projector: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError> {
        let key = if self.is(F::RetryOfAll) { None } else { key };
        self.inner.request_retry(&self.name(projector), key).await
    }

    async fn retried(
        &self,
        lease: &PartitionLease,
        key: &str,
        failed: Option<&Failure>,
    ) -> Result<(), StoreError> {
        self.inner.retried(&self.under(lease), key, failed).await
    }

    async fn discard(
        &self,
        projector: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let reason = if self.is(F::ReasonForgotten) { "" } else { reason };
        self.inner.discard(&self.name(projector), position, reason).await
    }

    async fn report(
        &self,
        lease: &PartitionLease,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError> {
        let failure = if self.is(F::FailureForgotten) { None } else { failure };
        self.inner.report(&self.under(lease), failure).await
    }

    async fn set_paused(&self, projector: &ConsumerName, paused: bool) -> Result<bool, StoreError> {
        let paused = paused && !self.is(F::PauseForgotten);
        self.inner.set_paused(&self.name(projector), paused).await
    }

    async fn inspect(
        &self,
        projector: Option<&ConsumerName>,
    ) -> Result<Vec<ConsumerRecord>, StoreError> {
        let projector = projector.map(|projector| self.name(projector));
        self.inner.inspect(projector.as_ref()).await
    }

    async fn new_generation(
        &self,
        projector: &ConsumerName,
        version: u32,
        partitions: u32,
        after: Position,
    ) -> Result<Option<NewGeneration<MemoryTransaction>>, StoreError> {
        let projector = self.name(projector);
        if self.is(F::SecondGenerationReplacesFirst) {
            self.inner.cancel(&projector).await?;
        }
        let after = if self.is(F::StartIgnored) { Position::START } else { after };
        let new = self.inner.new_generation(&projector, version, partitions, after).await?;
        *self.begun.lock().unwrap() = new.as_ref().map(|new| (projector, new.number));
        Ok(new)
    }

    async fn commit_new(&self, tx: MemoryTransaction) -> Result<(), StoreError> {
        self.inner.commit_new(tx).await?;
        let begun = self.begun.lock().unwrap().take();
        if let Some((projector, number)) = begun.filter(|_| self.is(F::VisibleBeforeSwap)) {
            self.inner.swap(&projector, number).await?;
        }
        Ok(())
    }

    async fn swap(&self, projector: &ConsumerName, generation: u64) -> Result<Swap, StoreError> {
        let projector = self.name(projector);
        let is_first = self.inner.inspect(Some(&projector)).await?;
        let is_first = is_first.iter().all(|record| record.live().is_none());
        if self.is(F::SwapDoesNothing) && !is_first {
            return Ok(Swap::Done);
        }
        match self.inner.swap(&projector, generation).await? {
            Swap::Behind if self.is(F::LagIgnored) => Ok(Swap::Done),
            swap => Ok(swap),
        }
    }

    async fn cancel(&self, projector: &ConsumerName) -> Result<bool, StoreError> {
        let projector = self.name(projector);
        if self.is(F::CancelForgotten) {
            let known = self.inner.inspect(Some(&projector)).await?;
            return Ok(known.iter().any(|record| record.building().is_some()));
        }
        self.inner.cancel(&projector).await
    }

    async fn enter(
        &self,
        tx: &mut MemoryTransaction,
        projector: &ConsumerName,
        version: u32,
    ) -> Result<Option<Position>, StoreError> {
        let version = if self.is(F::VersionUnchecked) { 1 } else { version };
        self.inner.enter(tx, &self.name(projector), version).await
    }

    async fn advance(
        &self,
        tx: &mut MemoryTransaction,
        projector: &ConsumerName,
        through: Position,
    ) -> Result<(), StoreError> {
        self.inner.advance(tx, &self.name(projector), through).await
    }
}

/// Rows in the broken read store.
pub(crate) struct BrokenTables;

#[derive(Clone, Default)]
struct Model(BTreeMap<String, Row>);

impl Tables for BrokenTables {
    type Store = BrokenRead;

    async fn create(tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Model::default());
        Ok(())
    }

    async fn add(
        tx: &mut MemoryTransaction,
        key: &str,
        amount: i64,
        position: u64,
    ) -> Result<(), ProjectError> {
        tx.model::<Model>()?.0.entry(key.to_owned()).or_default().add(amount, position);
        Ok(())
    }

    async fn rows(store: &BrokenRead, projector: &str) -> Option<BTreeMap<String, Row>> {
        let name = store.name(&ConsumerName::new(projector).unwrap());
        Some(store.inner.view::<Model>(name.as_str()).unwrap().get()?.0.clone())
    }
}
