//! Following the log under a name.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use uuid::Uuid;

use super::acks::UnexpectedAck;
use super::lease::Held;
use super::{AcquireError, CheckpointError, CheckpointStore, SubscriptionName};
use super::{Follow, Start, SubscriptionOptions};
use crate::{EventStore, Position, ReadError, RecordedEvent, Retry, StoreError};

/// How long a claim lasts unless it is renewed, which it is three times as often.
const LEASE: Duration = Duration::from_secs(3);
/// How often somebody who stands by looks whether it is their turn.
const STAND_BY: Duration = Duration::from_millis(500);

/// What to follow under which name, and how carefully.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DurableOptions {
    /// The name under which the checkpoint is kept.
    pub name: SubscriptionName,
    /// Which events, from where. The start counts when the name is used for the first time.
    pub subscribe: SubscriptionOptions,
    /// At most this many events are delivered and not acknowledged, at least 1.
    pub in_flight: usize,
    /// The checkpoint is saved when so many events were acknowledged, at least 1 ...
    pub save_every: u64,
    /// ... or when so much time has passed.
    pub save_after: Duration,
    /// How long a process that vanished keeps others waiting.
    pub lease: Duration,
}

impl DurableOptions {
    /// Follows under a name: one event at a time is saved at each acknowledgement, at most 1,000
    /// are in flight, and another process takes over within four seconds.
    #[must_use]
    pub const fn new(name: SubscriptionName, subscribe: SubscriptionOptions) -> Self {
        Self {
            name,
            subscribe,
            in_flight: 1_000,
            save_every: 1,
            save_after: Duration::from_secs(1),
            lease: LEASE,
        }
    }

    /// Bounds what is delivered and not acknowledged; 0 counts as 1.
    #[must_use]
    pub const fn in_flight(mut self, events: usize) -> Self {
        self.in_flight = if events == 0 { 1 } else { events };
        self
    }

    /// Saves the checkpoint every so many acknowledgements, 0 counts as 1, and when so much time
    /// has passed, at least a millisecond. What is not saved when the process dies is delivered
    /// again.
    #[must_use]
    pub fn save_every(mut self, events: u64, or_after: Duration) -> Self {
        self.save_every = events.max(1);
        self.save_after = or_after.max(Duration::from_millis(1));
        self
    }

    /// Sets how long a process that vanished keeps others waiting, at least 30 milliseconds. One
    /// that is paused for longer may find that it was replaced.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }
}

/// Why a durable subscription ended, or was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The log could not be read, and waiting does not help.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoint could not be claimed, and waiting does not help.
    #[error("the subscription could not be claimed")]
    SubscriptionLease(#[source] StoreError),
}

/// Why an acknowledgement was not taken, or not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// There was nothing to acknowledge.
    #[error(transparent)]
    Unexpected(#[from] UnexpectedAck),
    /// It was taken, and the checkpoint could not be saved. It is tried again by itself, unless
    /// the claim is lost; then the events are delivered again, here or elsewhere.
    #[error(transparent)]
    NotSaved(#[from] CheckpointError),
}

/// The events that pass a filter, in order, behind the checkpoint kept under a name.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn run<S>(store: S) -> Result<(), Box<dyn std::error::Error>>
/// # where S: cqrs_core::EventStore + cqrs_core::subscription::CheckpointStore + Clone {
/// use cqrs_core::{EventStoreExt, subscription::{DurableOptions, SubscriptionName, SubscriptionOptions}};
///
/// let billing = DurableOptions::new(SubscriptionName::new("billing")?, SubscriptionOptions::all());
/// let mut events = store.subscribe_durable(store.clone(), billing);
/// while let Ok(event) = events.next().await {
///     println!("bill {}", event.id);
///     events.acks().ack(event.position).await?;
/// }
/// # Ok(()) } Ok(()) }
/// ```
#[derive(Debug)]
pub struct DurableSubscription {
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn CheckpointStore>,
    durable: DurableOptions,
    owner: Uuid,
    serving: Option<Serving>,
}

#[derive(Debug)]
struct Serving {
    held: Arc<Held>,
    follow: Follow,
    arrived: VecDeque<RecordedEvent>,
    keeper: AbortHandle,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.keeper.abort();
        let held = Arc::clone(&self.held);
        if held.is_lost() {
            return;
        }
        // Nobody waits for it: what is not saved is delivered again, what is not released runs out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { held.end().await });
        }
    }
}

impl DurableSubscription {
    pub(crate) fn open(
        store: Arc<dyn EventStore>,
        checkpoints: Arc<dyn CheckpointStore>,
        durable: DurableOptions,
    ) -> Self {
        Self { store, checkpoints, durable, owner: Uuid::now_v7(), serving: None }
    }

    /// The next event. Waits while another process is served, while too much is in flight, and
    /// while a store is unavailable.
    ///
    /// When the claim is lost, by a pause longer than the lease or a reset, delivery begins anew
    /// behind the checkpoint; what was in flight is delivered again, here or elsewhere.
    ///
    /// # Errors
    /// [`DurableError`] for trouble that does not pass by itself. Called again it tries again.
    ///
    /// # Cancel safety
    /// Safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Result<RecordedEvent, DurableError> {
        loop {
            let serving = match &mut self.serving {
                Some(serving) if !serving.held.is_lost() => serving,
                _ => {
                    self.serving = None;
                    self.stand_by().await?;
                    continue;
                }
            };
            // Listening starts before looking, so an acknowledgement in between is not missed.
            let held = Arc::clone(&serving.held);
            let acked = held.acked.notified();
            if held.in_flight().unacked() >= self.durable.in_flight {
                tokio::select! {
                    () = acked => {}
                    () = held.until_lost() => {}
                }
            } else if let Some(event) = serving.arrived.pop_front() {
                held.in_flight().deliver(event.position);
                return Ok(event);
            } else {
                let page = tokio::select! {
                    page = serving.follow.step() => page?,
                    () = held.until_lost() => continue,
                };
                let positions = page.events.iter().map(|event| event.position);
                held.in_flight().arrived(positions, page.through);
                serving.arrived.extend(page.events);
            }
        }
    }

    /// Acknowledges; may be used from other tasks while this one waits for the next event.
    /// Belongs to the claim of the event delivered last.
    #[must_use]
    pub fn acks(&self) -> Acks {
        let held = self.serving.as_ref().map(|serving| Arc::clone(&serving.held));
        Acks { held, save_every: self.durable.save_every }
    }

    /// Saves what was acknowledged and lets others take over at once.
    ///
    /// # Errors
    /// [`CheckpointError`]: what was not saved is delivered again.
    ///
    /// Dropping the subscription does the same in the background, without telling of errors.
    pub async fn close(mut self) -> Result<(), CheckpointError> {
        let Some(serving) = self.serving.take() else { return Ok(()) };
        serving.held.end().await
    }

    /// Waits for the claim.
    async fn stand_by(&mut self) -> Result<(), DurableError> {
        loop {
            let claimed = async {
                let start = self.start().await?;
                let (name, lease) = (&self.durable.name, self.durable.lease);
                Ok(self.checkpoints.acquire(name, start, self.owner, lease).await)
            };
            match claimed.await {
                Ok(Ok(claim)) => {
                    let subscribe = self.durable.subscribe.clone();
                    let subscribe = subscribe.from(Start::After(claim.checkpoint));
                    let follow =
                        Follow::after(Arc::clone(&self.store), subscribe, claim.checkpoint);
                    let held = Arc::new(Held::new(claim, Arc::clone(&self.checkpoints)));
                    let keeper =
                        Arc::clone(&held).keep(self.durable.lease, self.durable.save_after);
                    let keeper = tokio::spawn(keeper).abort_handle();
                    self.serving = Some(Serving { held, follow, arrived: VecDeque::new(), keeper });
                    return Ok(());
                }
                Ok(Err(AcquireError::Held { .. })) => {}
                Ok(Err(AcquireError::Store(error))) if error.retry() != Retry::Never => {
                    tracing::warn!(name = %self.durable.name, %error, "not claimed");
                }
                Ok(Err(AcquireError::Store(error))) => {
                    return Err(DurableError::SubscriptionLease(error));
                }
                Err(error) if ReadError::retry(&error) != Retry::Never => {
                    tracing::warn!(name = %self.durable.name, %error, "no start found");
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(STAND_BY.min(self.durable.lease)).await;
        }
    }

    /// Where the subscription starts if it is new. What takes a look at the log is only worked
    /// out then.
    async fn start(&self) -> Result<Position, ReadError> {
        match self.durable.subscribe.start {
            Start::Origin => return Ok(Position::START),
            Start::After(position) => return Ok(position),
            Start::Now | Start::At(_) => {}
        }
        if self.checkpoints.find_checkpoint(&self.durable.name).await?.is_some() {
            return Ok(Position::START);
        }
        match self.durable.subscribe.start {
            Start::At(moment) => Follow::position_before(&*self.store, moment).await,
            _ => Ok(self.store.head().await?),
        }
    }
}

/// Acknowledges the events of a [`DurableSubscription`].
#[derive(Clone, Debug)]
pub struct Acks {
    held: Option<Arc<Held>>,
    save_every: u64,
}

impl Acks {
    /// Acknowledges an event and all that were delivered before it.
    ///
    /// # Errors
    /// [`AckError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it acknowledged or not; if it is, it is saved sooner or later.
    pub async fn ack(&self, position: Position) -> Result<(), AckError> {
        let held = self.held.as_ref().ok_or(UnexpectedAck { position })?;
        self.settle(held, |held| held.in_flight().ack_through(position), position).await
    }

    /// Acknowledges just this event, for handlers that work on several at a time. The checkpoint
    /// follows when all before it are acknowledged too.
    ///
    /// # Errors
    /// [`AckError`].
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn ack_one(&self, position: Position) -> Result<(), AckError> {
        let held = self.held.as_ref().ok_or(UnexpectedAck { position })?;
        self.settle(held, |held| held.in_flight().ack_one(position), position).await
    }

    /// Everything up to here is acknowledged, saved or not.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Position> {
        self.held.as_ref().map(|held| held.checkpoint())
    }

    async fn settle(
        &self,
        held: &Held,
        ack: impl FnOnce(&Held) -> Result<(), UnexpectedAck>,
        position: Position,
    ) -> Result<(), AckError> {
        if held.is_lost() {
            return Err(UnexpectedAck { position }.into());
        }
        ack(held)?;
        held.acked.notify_waiters();
        if held.in_flight().unsaved >= self.save_every {
            held.save().await?;
        }
        Ok(())
    }
}
