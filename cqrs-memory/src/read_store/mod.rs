//! The read store in memory.

mod inline;
mod models;
mod process;
mod state;
mod transaction;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cqrs_core::process::Request;
use cqrs_core::projection::store::{
    Capability, Cluster, CommitError, ConsumerRecord, Failure, LeaseError, NewGeneration,
    ParkedEvent, Partition, PartitionLease, ReadStore, Swap,
};
use cqrs_core::{
    Position,
    app::{Clock, SystemClock},
    projection::ConsumerName,
    store::{InvalidName, StoreError},
};
use uuid::Uuid;

use crate::Step;
use crate::step::Hooks;
pub use models::MemoryView;
use state::State;
use transaction::{Condition, GenerationChange};
pub use transaction::{MemoryTransaction, MissingModel};

/// A read store in memory, whose read models are values of any type that implements `Clone`.
///
/// A clone is another handle to the same store. Queries use a [`view`](Self::view), which returns the
/// model as of the last commit without waiting.
///
/// ```
/// use std::collections::HashMap;
/// use std::time::Duration;
///
/// use cqrs::memory::{MemoryReadStore, MemoryStore, MemoryTransaction};
/// use cqrs::projection::ProjectError;
/// use cqrs::{
///     App, Event, EventStoreExt, ExpectedVersion, Projections, Projector, ReadModel, Recorded,
///     StreamName,
/// };
///
/// #[derive(Event)]
/// #[event(name = "cart.added")]
/// struct Added {
///     product: String,
/// }
///
/// /// How many times each product was added to a cart.
/// #[derive(Clone, Default)]
/// struct Counts(HashMap<String, u32>);
///
/// #[derive(ReadModel)]
/// #[read_model(name = "popular", version = 1, event = Added)]
/// struct Popular;
///
/// impl Projector<MemoryReadStore> for Popular {
///     async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
///         tx.put(Counts::default());
///         Ok(())
///     }
///
///     async fn project(
///         &self,
///         tx: &mut MemoryTransaction,
///         event: &Recorded<Added>,
///     ) -> Result<(), ProjectError> {
///         *tx.model::<Counts>()?.0.entry(event.event.product.clone()).or_default() += 1;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, read) = (MemoryStore::new(), MemoryReadStore::new());
/// let popular = read.view::<Counts>("popular")?;
/// let app = App::new(store.clone());
/// let projections = Projections::builder(&app, read).projector(Popular).start().await?;
///
/// let (cart, tea) = (StreamName::new("cart-1")?, Added { product: "tea".into() });
/// let appended = store.append_events(&cart, ExpectedVersion::Any, &[tea]).await?;
///
/// let timeout = Duration::from_secs(5);
/// projections.wait_until_built("popular", timeout).await?;
/// projections.wait_for("popular", appended.position(), timeout).await?;
/// assert_eq!(popular.get().unwrap().0["tea"], 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryReadStore {
    shared: Arc<Shared>,
}

/// Invariant: no user code runs while a lock is held: no projector, no clock, no drop of a model.
struct Shared {
    state: Mutex<State>,
    clock: Box<dyn Clock>,
    hooks: Hooks,
    /// The operators' requests to processes.
    requests: Mutex<Vec<(ConsumerName, Request)>>,
}

/// Builds a [`MemoryReadStore`] with another clock or a hook that injects failures.
///
/// ```
/// use cqrs_core::app::SystemClock;
/// use cqrs_core::projection::ReadStore;
/// use cqrs_core::store::{StoreError, StoreErrorKind};
/// use cqrs_memory::{MemoryReadStore, Step};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let read = MemoryReadStore::builder()
///     .clock(SystemClock)
///     .on_step(|step| match step {
///         Step::BeforeRead => Err(StoreError::new(StoreErrorKind::Unavailable, "cable cut")),
///         _ => Ok(()),
///     })
///     .build();
///
/// assert!(read.inspect(None).await.is_err());
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct MemoryReadStoreBuilder {
    clock: Box<dyn Clock>,
    hooks: Hooks,
}

impl MemoryReadStoreBuilder {
    /// Sets the clock for leases. Default: the system clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the hook that runs at each [`Step`] of a read store, never under its lock. Default: none. A
    /// second hook replaces the first.
    ///
    /// If the hook returns an error, the step fails with that error.
    pub fn on_step(
        mut self,
        hook: impl Fn(Step) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks = Hooks(Some(Box::new(hook)));
        self
    }

    /// Creates an empty read store.
    #[must_use]
    pub fn build(self) -> MemoryReadStore {
        let (state, clock, hooks) = (Mutex::default(), self.clock, self.hooks);
        let requests = Mutex::default();
        MemoryReadStore { shared: Arc::new(Shared { state, clock, hooks, requests }) }
    }
}

impl Default for MemoryReadStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryReadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReadStore").finish_non_exhaustive()
    }
}

impl MemoryReadStore {
    /// Creates an empty read store that uses the system clock.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a read store with another clock or a hook that injects failures.
    pub fn builder() -> MemoryReadStoreBuilder {
        MemoryReadStoreBuilder { clock: Box::new(SystemClock), hooks: Hooks::default() }
    }

    /// Returns a view of one model of a projector, for queries.
    ///
    /// The projector may start later; until it has built the model, the view returns `None`.
    ///
    /// # Errors
    /// Returns [`InvalidName`] if a projector cannot have this name.
    pub fn view<M: Send + Sync + 'static>(
        &self,
        projector: &str,
    ) -> Result<MemoryView<M>, InvalidName> {
        let name = ConsumerName::new(projector)?;
        Ok(MemoryView::new(self.state().published(&name)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The lock is never poisoned, because nothing panics under it.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, step: Step) -> Result<(), StoreError> {
        self.shared.hooks.at(step)
    }
}

#[async_trait]
impl ReadStore for MemoryReadStore {
    type Transaction = MemoryTransaction;

    async fn heartbeat(
        &self,
        node: Uuid,
        lease: Duration,
        capabilities: &[Capability],
        progress: &[PartitionLease],
    ) -> Result<Cluster, StoreError> {
        self.at(Step::BeforeHeartbeat)?;
        let now = self.shared.clock.now();
        Ok(self.state().heartbeat(node, now.plus(lease), now, capabilities, progress))
    }

    async fn leave(&self, node: Uuid) -> Result<(), StoreError> {
        self.at(Step::BeforeLease)?;
        self.state().leave(node);
        Ok(())
    }

    async fn acquire(
        &self,
        node: Uuid,
        partition: &Partition,
    ) -> Result<Option<PartitionLease>, StoreError> {
        self.at(Step::BeforeLease)?;
        let now = self.shared.clock.now();
        Ok(self.state().acquire(node, partition, now))
    }

    async fn release(&self, lease: &PartitionLease) -> Result<(), StoreError> {
        self.at(Step::BeforeLease)?;
        self.state().release(lease);
        Ok(())
    }

    async fn begin(&self, lease: &PartitionLease) -> Result<MemoryTransaction, LeaseError> {
        self.at(Step::BeforeProjection)?;
        let write_lock = self.state().leased(lease).map(|found| Arc::clone(&found.write_lock));
        let write_lock = write_lock.ok_or(LeaseError::Lost)?.lock_owned().await;
        let models = self.state().leased(lease).map(|found| Arc::clone(&found.models));
        let models = models.ok_or(LeaseError::Lost)?;
        let partition = lease.partition.clone();
        let (projector, generation) = (partition.consumer.clone(), partition.generation);
        let condition = Condition::Leased { partition, epoch: lease.epoch };
        Ok(MemoryTransaction::one(GenerationChange::new(
            projector,
            generation,
            condition,
            &models,
            Some(write_lock),
        )))
    }

    async fn commit(
        &self,
        mut tx: MemoryTransaction,
        lease: &PartitionLease,
        through: Position,
    ) -> Result<(), CommitError> {
        self.at(Step::BeforeProjectionCommit).map_err(CommitError::Unknown)?;
        let Some(mut change) = tx.changes.pop() else { return Err(CommitError::Lost) };
        change.through = through;
        let garbage = {
            let mut state = self.state();
            if !state.accepts(&change) || !state.has_progress_of(lease) {
                return Err(CommitError::Lost);
            }
            state.apply(change)
        };
        drop(garbage);
        self.at(Step::AfterProjectionCommit).map_err(CommitError::Unknown)
    }

    fn is_transient(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        error
            .downcast_ref::<StoreError>()
            .is_some_and(|error| !matches!(error.retry(), cqrs_core::store::Retry::Never))
    }

    async fn park(
        &self,
        tx: &mut MemoryTransaction,
        _: &PartitionLease,
        event: &ParkedEvent,
    ) -> Result<(), StoreError> {
        if let Some(change) = tx.changes.last_mut() {
            change.parks.push(event.clone());
        }
        Ok(())
    }

    async fn unpark(
        &self,
        tx: &mut MemoryTransaction,
        _: &PartitionLease,
        position: Position,
    ) -> Result<(), StoreError> {
        if let Some(change) = tx.changes.last_mut() {
            change.unparks.push(position);
        }
        Ok(())
    }

    async fn parked(
        &self,
        projector: &ConsumerName,
        generation: u64,
        number: Option<u32>,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        self.at(Step::BeforeRead)?;
        Ok(self.state().parked(projector, generation, number))
    }

    async fn request_retry(
        &self,
        projector: &ConsumerName,
        key: Option<&str>,
    ) -> Result<u64, StoreError> {
        self.at(Step::BeforeLease)?;
        Ok(self.state().request_retry(projector, key))
    }

    async fn retried(
        &self,
        lease: &PartitionLease,
        key: &str,
        failed: Option<&Failure>,
    ) -> Result<(), StoreError> {
        self.at(Step::BeforeLease)?;
        self.state().retried(lease, key, failed);
        Ok(())
    }

    async fn discard(
        &self,
        projector: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError> {
        self.at(Step::BeforeLease)?;
        Ok(self.state().discard(projector, position, reason))
    }

    async fn report(
        &self,
        lease: &PartitionLease,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError> {
        self.at(Step::BeforeLease)?;
        Ok(self.state().report(lease, failure))
    }

    async fn set_paused(&self, projector: &ConsumerName, paused: bool) -> Result<bool, StoreError> {
        self.at(Step::BeforeLease)?;
        Ok(self.state().set_paused(projector, paused))
    }

    async fn inspect(
        &self,
        projector: Option<&ConsumerName>,
    ) -> Result<Vec<ConsumerRecord>, StoreError> {
        self.at(Step::BeforeRead)?;
        let now = self.shared.clock.now();
        Ok(self.state().inspect(projector, now))
    }

    async fn new_generation(
        &self,
        projector: &ConsumerName,
        version: u32,
        partitions: u32,
        after: Position,
    ) -> Result<Option<NewGeneration<MemoryTransaction>>, StoreError> {
        self.at(Step::BeforeProjection)?;
        let number = self.state().new_generation(projector, version, partitions);
        let Some(number) = number else { return Ok(None) };
        let condition = Condition::New { version, partitions, after };
        let change =
            GenerationChange::new(projector.clone(), number, condition, &Arc::default(), None);
        Ok(Some(NewGeneration::new(number, MemoryTransaction::one(change))))
    }

    async fn commit_new(&self, mut tx: MemoryTransaction) -> Result<(), StoreError> {
        self.at(Step::BeforeProjectionCommit)?;
        let Some(change) = tx.changes.pop() else { return Ok(()) };
        let garbage = {
            let mut state = self.state();
            // If the change is not accepted, another node has begun the same generation.
            if state.accepts(&change) { state.apply(change) } else { Vec::new() }
        };
        drop(garbage);
        self.at(Step::AfterProjectionCommit)
    }

    async fn swap(&self, projector: &ConsumerName, generation: u64) -> Result<Swap, StoreError> {
        self.at(Step::BeforeSwap)?;
        let (swapped, garbage) = self.state().swap(projector, generation);
        drop(garbage);
        self.at(Step::AfterSwap)?;
        Ok(swapped)
    }

    async fn cancel(&self, projector: &ConsumerName) -> Result<bool, StoreError> {
        self.at(Step::BeforeSwap)?;
        Ok(self.state().cancel(projector))
    }

    async fn enter(
        &self,
        tx: &mut MemoryTransaction,
        projector: &ConsumerName,
        version: u32,
    ) -> Result<Option<Position>, StoreError> {
        let write_lock =
            self.state().live(projector, version).map(|(.., live)| Arc::clone(&live.write_lock));
        let Some(write_lock) = write_lock else { return Ok(None) };
        let write_lock = write_lock.lock_owned().await;
        let mut state = self.state();
        let Some((number, position, live)) = state.live(projector, version) else {
            return Ok(None);
        };
        let change = GenerationChange::new(
            projector.clone(),
            number,
            Condition::Inline,
            &live.models,
            Some(write_lock),
        );
        tx.changes.push(change);
        Ok(Some(position))
    }

    async fn advance(
        &self,
        tx: &mut MemoryTransaction,
        _: &ConsumerName,
        through: Position,
    ) -> Result<(), StoreError> {
        if let Some(change) = tx.changes.last_mut() {
            change.through = through;
        }
        Ok(())
    }
}
