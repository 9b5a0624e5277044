//! The health of consumers.

use std::time::Duration;

use uuid::Uuid;

use super::store::{ConsumerName, Failure};
use crate::Position;

/// What a consumer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConsumerState {
    /// It is reading the log for the first time, or for a new version.
    Building,
    /// It handles events that were appended before now.
    CatchingUp,
    /// It has handled every event in the log.
    Live,
    /// It retries after a failure.
    Retrying,
    /// A partition is stopped at an event until an operator resumes the consumer.
    Stopped,
    /// An operator paused it.
    Paused,
    /// The live generation has a later version than this program, which does not run it.
    Superseded,
}

/// The health of a consumer on all nodes.
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
/// # let (cart, tea) = (StreamName::new("cart-1")?, Added { product: "tea".into() });
/// # let appended = store.append_events(&cart, ExpectedVersion::Any, &[tea]).await?;
/// # projections.wait_for("popular", appended.position(), timeout).await?;
/// let health = projections.health().await?.remove(0);
/// assert_eq!(health.name.as_str(), "popular");
/// assert_eq!((health.state, health.lag), (ConsumerState::Live, 0));
/// assert!(health.failure.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Its name.
    pub name: ConsumerName,
    /// The version in this program.
    pub version: u32,
    /// What it is doing.
    pub state: ConsumerState,
    /// Every event up to here is handled by the live generation.
    pub position: Position,
    /// The head of the log.
    pub head: Position,
    /// The number of positions from `position` to `head`.
    pub lag: u64,
    /// The age of the first event after `position` that it handles. Zero if there is none.
    pub lag_time: Duration,
    /// The number of parked events.
    pub parked: u64,
    /// The number of events that this program has handled since it leased the partitions.
    pub handled: u64,
    /// The number of positions that this program has skipped since then, because their events do
    /// not concern the consumer.
    pub passed: u64,
    /// The most severe failure of its partitions.
    pub failure: Option<Failure>,
    /// The partitions of the live generation.
    pub partitions: Vec<PartitionHealth>,
    /// The progress of the generation that is being built, if there is one.
    pub rebuild: Option<Progress>,
}

/// The health of a partition.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionHealth {
    /// Its number, from 0.
    pub number: u32,
    /// Every event up to here is handled.
    pub position: Position,
    /// The node that runs it, if one does.
    pub owner: Option<Uuid>,
    /// The number of parked events.
    pub parked: u64,
    /// Its failure, until it has passed.
    pub failure: Option<Failure>,
}

/// The progress of a generation that is being built.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The version it is built for.
    pub version: u32,
    /// The number of positions done.
    pub done: u64,
    /// The number of positions in the log.
    pub total: u64,
    /// Positions per second; 0 if this program does not build it.
    pub rate: f64,
}
