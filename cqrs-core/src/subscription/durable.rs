//! Subscriptions with a name and a checkpoint.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use uuid::Uuid;

use super::acks::Acks;
use super::checkpoints::{
    AcquireError, CheckpointError, CheckpointStore, SubscriptionLease, SubscriptionName,
};
use super::follow::Follow;
use super::lease::HeldLease;
use super::options::{DurableOptions, Start};
use crate::{EventStore, Position, ReadError, RecordedEvent, Retry, StoreError};

/// How often a node on standby tries to acquire the lease.
const STANDBY_INTERVAL: Duration = Duration::from_millis(500);

/// Why a durable subscription cannot return its next event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The log cannot be read, and the failure is not transient.
    #[error("reading events for subscription `{name}` failed")]
    Read {
        /// The subscription.
        name: SubscriptionName,
        /// The cause.
        source: ReadError,
    },
    /// The lease cannot be acquired, and the failure is not transient.
    #[error("acquiring the lease on subscription `{name}` failed")]
    Acquire {
        /// The subscription.
        name: SubscriptionName,
        /// The cause.
        source: StoreError,
    },
}

/// The events that pass a filter, in order, after the checkpoint stored under a name.
///
/// Returned by [`EventStoreExt::subscribe_durable`](crate::EventStoreExt::subscribe_durable). After
/// a restart, delivery continues after the last saved acknowledgement, so each event is delivered
/// at least once. If several nodes open the same name, one receives events and the others stand by;
/// when it closes or crashes, another one takes over.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
/// # #[event(crate = cqrs_core)]
/// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
/// # use cqrs_core::{ExpectedVersion, StreamName};
/// # let store = cqrs_memory::MemoryStore::new();
/// # let cart = StreamName::new("cart-7")?;
/// # let added = [CartEvent::Added("abc".into()), CartEvent::Added("xyz".into())];
/// # store.append_events(&cart, ExpectedVersion::Any, &added).await?;
/// use cqrs_core::{EventStoreExt, Position};
/// use cqrs_core::subscription::{DurableOptions, SubscriptionName, SubscriptionOptions};
///
/// let billing = DurableOptions::new(SubscriptionName::new("billing")?, SubscriptionOptions::all());
/// let mut events = store.subscribe_durable(store.clone(), billing.clone());
/// let event = events.next().await?;
/// events.acks().ack(event.position).await?;
/// events.close().await?;
///
/// // Opened again, it continues after the acknowledged event.
/// let mut events = store.subscribe_durable(store.clone(), billing);
/// assert_eq!(events.next().await?.position, Position::new(2));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct DurableSubscription {
    source: Source,
    active: Option<Active>,
}

/// Where events and leases come from. Unlike [`Active`] it is `Sync`, so that a future that
/// borrows it is `Send`.
#[derive(Debug)]
struct Source {
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn CheckpointStore>,
    options: DurableOptions,
    owner: Uuid,
}

/// A subscription that holds its lease.
#[derive(Debug)]
struct Active {
    lease: Arc<HeldLease>,
    follow: Follow,
    /// Events that have arrived but are not delivered yet.
    arrived: VecDeque<RecordedEvent>,
    renewal: AbortHandle,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.renewal.abort();
        let lease = Arc::clone(&self.lease);
        if lease.is_lost() {
            return;
        }
        // A failure only costs time: the lease expires, and events are delivered again.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { lease.end().await });
        }
    }
}

impl DurableSubscription {
    pub(crate) fn open(
        store: Arc<dyn EventStore>,
        checkpoints: Arc<dyn CheckpointStore>,
        options: DurableOptions,
    ) -> Self {
        let source = Source { store, checkpoints, options, owner: Uuid::now_v7() };
        Self { source, active: None }
    }

    /// Waits for the next event and returns it.
    ///
    /// Waits while another node holds the lease, while the maximum number of events is
    /// unacknowledged, and while a store is unavailable.
    ///
    /// If the lease is lost, because the node was paused for longer than the lease or the
    /// checkpoint was reset, delivery starts again after the stored checkpoint; unacknowledged
    /// events are delivered again, here or to another node.
    ///
    /// # Errors
    /// Returns [`DurableError`] for a failure that is not transient. Calling `next` again retries.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Result<RecordedEvent, DurableError> {
        loop {
            let active = match &mut self.active {
                Some(active) if !active.lease.is_lost() => active,
                _ => {
                    self.active = None;
                    self.active = Some(self.source.stand_by().await?);
                    continue;
                }
            };
            // Registered before the check, so that no acknowledgement in between is missed.
            let lease = Arc::clone(&active.lease);
            let acked = lease.acked.notified();
            let delivered = lease.unacknowledged().delivered();
            if delivered >= self.source.options.max_unacknowledged {
                tokio::select! {
                    () = acked => {}
                    () = lease.until_lost() => {}
                }
            } else if let Some(event) = active.arrived.pop_front() {
                lease.unacknowledged().deliver(event.position);
                return Ok(event);
            } else {
                let page = tokio::select! {
                    page = active.follow.step() => page,
                    () = lease.until_lost() => continue,
                };
                let page = page.map_err(|error| self.source.read_failed(error))?;
                let positions = page.events.iter().map(|event| event.position);
                lease.unacknowledged().arrive(positions, page.through);
                active.arrived.extend(page.events);
            }
        }
    }

    /// Returns a handle for acknowledging events, in this task or another one.
    #[must_use]
    pub fn acks(&self) -> Acks {
        let lease = self.active.as_ref().map(|active| Arc::clone(&active.lease));
        let options = &self.source.options;
        Acks::new(options.name.clone(), lease, options.save_every)
    }

    /// Saves the checkpoint and releases the lease, so that another node takes over immediately.
    ///
    /// Dropping the subscription does the same in the background and ignores failures.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the checkpoint cannot be saved or the lease cannot be
    /// released. Events whose acknowledgement was not saved are delivered again, and the lease
    /// expires.
    pub async fn close(mut self) -> Result<(), CheckpointError> {
        let Some(active) = self.active.take() else { return Ok(()) };
        active.lease.end().await
    }
}

impl Source {
    /// Waits for the lease.
    async fn stand_by(&self) -> Result<Active, DurableError> {
        let name = &self.options.name;
        loop {
            match self.acquire().await {
                Ok(Some(lease)) => return Ok(self.activate(lease)),
                Ok(None) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(
                        subscription = %name,
                        error = &error as &dyn std::error::Error,
                        "lease not acquired"
                    );
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(STANDBY_INTERVAL.min(self.options.lease)).await;
        }
    }

    /// Tries to acquire the lease. Returns `None` if another node holds it.
    async fn acquire(&self) -> Result<Option<SubscriptionLease>, DurableError> {
        let start = self.start().await.map_err(|error| self.read_failed(error))?;
        let DurableOptions { name, lease, .. } = &self.options;
        match self.checkpoints.acquire(name, start, self.owner, *lease).await {
            Ok(lease) => Ok(Some(lease)),
            Err(AcquireError::Held { .. }) => Ok(None),
            Err(AcquireError::Store { name, source }) => {
                Err(DurableError::Acquire { name, source })
            }
        }
    }

    /// Starts the delivery of events after the checkpoint, and the renewal of the lease.
    fn activate(&self, lease: SubscriptionLease) -> Active {
        let DurableOptions { subscription, lease: duration, save_after, .. } = &self.options;
        let store = Arc::clone(&self.store);
        let follow = Follow::after(store, subscription.clone(), lease.checkpoint);
        let lease = Arc::new(HeldLease::new(lease, Arc::clone(&self.checkpoints)));
        let renewal = Arc::clone(&lease).renew_until_lost(*duration, *save_after);
        let renewal = tokio::spawn(renewal).abort_handle();
        Active { lease, follow, arrived: VecDeque::new(), renewal }
    }

    /// Returns the position to start after if the subscription is new. Reads the log only in that
    /// case.
    async fn start(&self) -> Result<Position, ReadError> {
        let start = self.options.subscription.start;
        match start {
            Start::Origin => return Ok(Position::START),
            Start::After(position) => return Ok(position),
            Start::Now | Start::At(_) => {}
        }
        if self.checkpoints.find_checkpoint(&self.options.name).await?.is_some() {
            return Ok(Position::START);
        }
        match start {
            Start::At(moment) => Follow::position_before(&*self.store, moment).await,
            _ => Ok(self.store.head().await?),
        }
    }

    fn read_failed(&self, source: ReadError) -> DurableError {
        DurableError::Read { name: self.options.name.clone(), source }
    }
}

impl DurableError {
    /// Returns whether calling [`next`](DurableSubscription::next) again can succeed.
    fn is_transient(&self) -> bool {
        let retry = match self {
            Self::Read { source, .. } => source.retry(),
            Self::Acquire { source, .. } => source.retry(),
        };
        retry != Retry::Never
    }
}
