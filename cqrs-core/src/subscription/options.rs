//! What to subscribe to, and how.

use std::time::Duration;

use super::checkpoints::SubscriptionName;
use crate::store::{DEFAULT_PAGE_SIZE, Filter};
use crate::{Position, Timestamp};

/// Default of [`SubscriptionOptions::poll_interval`].
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Default of [`DurableOptions::lease`].
const LEASE: Duration = Duration::from_secs(3);

/// Where a subscription starts.
///
/// ```
/// # use cqrs_memory::MemoryStore;
/// # use cqrs_core::{EventStore, EventStoreExt, ExpectedVersion, StreamName};
/// # use cqrs_core::{event::NewEvent, store::Append};
/// # use futures_util::StreamExt;
/// use cqrs_core::subscription::{Start, SubscriptionOptions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let append = |content: u32| -> Result<Append, Box<dyn std::error::Error>> {
/// #     let event = NewEvent::json("test.happened", &content)?;
/// #     Ok(Append::to(StreamName::new("a-1")?, ExpectedVersion::Any, vec![event]))
/// # };
/// let first = store.append(append(1)?).await?;
/// store.append(append(2)?).await?;
///
/// let after_first = SubscriptionOptions::all().from(Start::After(first.position()));
/// let mut events = store.subscribe(after_first).await?;
/// let event = events.next().await.unwrap()?;
/// assert_eq!(event.position, first.position().next());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first event of the log.
    #[default]
    Origin,
    /// At the first event appended after subscribing.
    Now,
    /// After this position.
    After(Position),
    /// At the first event recorded at or after this time.
    At(Timestamp),
}

/// Which events a [`Subscription`](super::Subscription) returns, and how it fetches them.
///
/// ```
/// use cqrs_core::store::{Category, Filter, InvalidName, Position};
/// use cqrs_core::subscription::{Start, SubscriptionOptions};
///
/// let carts = Filter::category(Category::new("cart")?);
/// let options = SubscriptionOptions::to(carts).from(Start::After(Position::new(41)));
/// assert_eq!(options.page_size, 1_000);
/// # Ok::<(), InvalidName>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscriptionOptions {
    /// The events to return.
    pub filter: Filter,
    /// Where to start. Default: [`Start::Origin`].
    pub start: Start,
    /// The maximum number of events fetched at a time, which bounds the memory of the subscription.
    /// Default: 1,000 events.
    pub page_size: usize,
    /// The longest delay until a new event is noticed if a notification from the store is lost.
    /// Default: 1 second.
    pub poll_interval: Duration,
}

impl SubscriptionOptions {
    /// Subscribes to the events that pass a filter, from the origin of the log.
    #[must_use]
    pub const fn to(filter: Filter) -> Self {
        Self {
            filter,
            start: Start::Origin,
            page_size: DEFAULT_PAGE_SIZE,
            poll_interval: POLL_INTERVAL,
        }
    }

    /// Subscribes to all events, from the origin of the log.
    #[must_use]
    pub fn all() -> Self {
        Self::to(Filter::all())
    }

    /// Sets where to start. Default: [`Start::Origin`].
    #[must_use]
    pub const fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets the maximum number of events fetched at a time; 0 counts as 1.
    #[must_use]
    pub const fn page_size(mut self, events: usize) -> Self {
        self.page_size = if events == 0 { 1 } else { events };
        self
    }

    /// Sets the longest delay until a new event is noticed if a notification is lost.
    #[must_use]
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }
}

/// The name of a [`DurableSubscription`](super::DurableSubscription), its events, and how its
/// checkpoint is saved.
///
/// ```
/// use std::time::Duration;
/// use cqrs_core::subscription::{DurableOptions, SubscriptionName, SubscriptionOptions};
///
/// // Faster, but up to 100 acknowledged events are delivered again after a crash.
/// let billing = DurableOptions::new(SubscriptionName::new("billing")?, SubscriptionOptions::all())
///     .max_unacknowledged(500)
///     .save_every(100, Duration::from_secs(1));
/// assert_eq!(billing.save_every, 100);
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DurableOptions {
    /// The name the checkpoint is stored under.
    pub name: SubscriptionName,
    /// The events to deliver. The start applies only when the name is used for the first time.
    pub subscription: SubscriptionOptions,
    /// The maximum number of events that are delivered but not yet acknowledged, at least 1.
    /// Default: 1,000 events.
    pub max_unacknowledged: usize,
    /// The number of acknowledgements after which the checkpoint is saved, at least 1. Default: 1.
    pub save_every: u64,
    /// The time after which the checkpoint is saved even if fewer events were acknowledged.
    /// Default: 1 second.
    pub save_after: Duration,
    /// How long the lease lasts without being renewed. Default: 3 seconds.
    pub lease: Duration,
}

impl DurableOptions {
    /// Creates options with the defaults: the checkpoint is saved at each acknowledgement, and
    /// another node takes over within four seconds after a crash.
    #[must_use]
    pub const fn new(name: SubscriptionName, subscription: SubscriptionOptions) -> Self {
        Self {
            name,
            subscription,
            max_unacknowledged: 1_000,
            save_every: 1,
            save_after: Duration::from_secs(1),
            lease: LEASE,
        }
    }

    /// Sets the maximum number of events that are delivered but not yet acknowledged; 0 counts as
    /// one. When it is reached, [`next`](super::DurableSubscription::next) waits for an
    /// acknowledgement.
    #[must_use]
    pub const fn max_unacknowledged(mut self, events: usize) -> Self {
        self.max_unacknowledged = if events == 0 { 1 } else { events };
        self
    }

    /// Saves the checkpoint after this many acknowledgements, at least 1, or after this time, at
    /// least 1 millisecond, whichever comes first. Acknowledgements that are not saved when the
    /// node crashes are lost: their events are delivered again.
    #[must_use]
    pub fn save_every(mut self, events: u64, or_after: Duration) -> Self {
        self.save_every = events.max(1);
        self.save_after = or_after.max(Duration::from_millis(1));
        self
    }

    /// Sets how long the lease lasts without being renewed, at least 30 milliseconds.
    ///
    /// This is how long other nodes wait after the owner crashes. An owner that is paused for
    /// longer, for example by a suspended machine, may be replaced in the meantime.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }
}
