//! Waiting until consumers have handled an event.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::Position;
use crate::names::ConsumerName;

/// The outcome of waiting for consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// All of them have handled every event up to the position.
    CaughtUp,
    /// At least one had not when the time was over. Wait again with the same position.
    Behind,
    /// At least one is being built for the first time or for a new version. Until that is done,
    /// readers see older events or none, so do not wait for it in a request.
    Rebuilding,
}

/// Waits for some consumers, without knowing their types. Cheap to clone.
///
/// [`Projections::waiter`](crate::Projections::waiter) returns one. Give it to
/// [`Dispatch::wait_for`](crate::Dispatch::wait_for) to wait for read models after a command.
///
/// ```
/// # use std::collections::HashMap;
/// # use std::time::Duration;
/// # use cqrs_core::projection::*;
/// # use cqrs_core::{App, Event, EventStoreExt, ExpectedVersion, Projections, Projector, ReadModel, Recorded, StreamName};
/// # use cqrs_memory::{MemoryReadStore, MemoryStore, MemoryTransaction};
/// # #[derive(Event)] #[event(name = "cart.added", crate = cqrs_core)]
/// # struct Added { product: String }
/// # #[derive(Clone, Default)] struct Counts(HashMap<String, u32>);
/// # #[derive(ReadModel)] #[read_model(name = "popular", event = Added, crate = cqrs_core)] struct Popular;
/// # impl Projector<MemoryReadStore> for Popular {
/// #     async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
/// #         tx.put(Counts::default());
/// #         Ok(())
/// #     }
/// #     async fn project(&self, tx: &mut MemoryTransaction, event: &Recorded<Added>) -> Result<(), ProjectError> {
/// #         *tx.model::<Counts>()?.0.entry(event.event.product.clone()).or_default() += 1;
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, read) = (MemoryStore::new(), MemoryReadStore::new());
/// # let projections = Projections::builder_over(store.clone(), read).projector(Popular).start().await?;
/// # let timeout = Duration::from_secs(5);
/// # projections.wait_until_built("popular", timeout).await?;
/// let waiter = projections.waiter(["popular"])?;
///
/// let (cart, tea) = (StreamName::new("cart-1")?, Added { product: "tea".into() });
/// let appended = store.append_events(&cart, ExpectedVersion::Any, &[tea]).await?;
/// assert_eq!(waiter.wait(appended.position(), timeout).await, Waited::CaughtUp);
///
/// let later = appended.position().next();
/// assert_eq!(waiter.wait(later, Duration::from_millis(1)).await, Waited::Behind);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Waiter {
    names: Arc<[ConsumerName]>,
    positions: Arc<dyn Positions>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Waiter {
    pub(super) fn new(names: Vec<ConsumerName>, positions: Arc<dyn Positions>) -> Self {
        Self { names: names.into(), positions }
    }

    /// Waits until all of them have handled every event up to a position, at most for a duration.
    ///
    /// If a consumer runs in this program, this needs no query. Otherwise its checkpoint is
    /// polled, which may lag by one heartbeat (a third of the lease; 1 second by default) for
    /// events that do not concern it.
    ///
    /// # Cancel safety
    /// Safe: dropping the future has no effect.
    pub async fn wait(&self, position: Position, within: Duration) -> Waited {
        if position == Position::START {
            return Waited::CaughtUp;
        }
        let until = Instant::now().checked_add(within);
        for name in &*self.names {
            match self.positions.wait(name, position, until).await {
                Waited::CaughtUp => {}
                other => return other,
            }
        }
        Waited::CaughtUp
    }
}

/// The positions of the consumers of a node.
#[async_trait]
pub(super) trait Positions: Send + Sync {
    async fn wait(&self, name: &ConsumerName, position: Position, until: Option<Instant>)
    -> Waited;
}
