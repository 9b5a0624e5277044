//! Read models: built from events, exactly once, and built anew beside the old one.
//!
//! A [`Projector`] says what an event does to its tables. [`Projections`] runs projectors over an
//! event store and a [`ReadStore`], which may be different databases. Several processes that run
//! the same projectors share the work: each partition belongs to one of them at a time, and moves
//! to another within seconds when its process dies.
//!
//! One loop for each partition: read behind the checkpoint, project in a transaction that also
//! moves the checkpoint, wait for the head of the log to move. While catching up a transaction
//! takes many events, at the head it takes what is there.

mod assign;
mod builder;
mod consumer;
mod handle;
mod health;
mod inline;
mod node;
mod options;
mod partition;
mod policy;
mod projector;
mod read_store;
mod reader;
mod records;
mod share;
mod status;
mod wait;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;

pub use crate::names::{ConsumerName, MAX_CONSUMER_NAME_BYTES};
pub use builder::{ProjectionsBuilder, StartError};
pub use health::{ConsumerState, Health, PartitionHealth, Progress};
pub use inline::{AppendProjecting, InlineProjection, InlineStore, InlineStoreBuilder, OpenError};
pub use options::ProjectorOptions;
pub use partition::{Capability, Partition, PartitionLease};
pub use policy::{FailurePolicy, Then};
pub use projector::{ProjectError, Projector};
pub use read_store::{CommitError, LeaseError, NewGeneration, ReadStore, Swap};
pub use records::{
    Cluster, ConsumerRecord, Failure, GenerationRecord, NodeRecord, ParkedEvent, PartitionRecord,
};
pub use wait::{UnknownConsumer, Waited, Waiter};

/// What processes run on, too.
pub(crate) mod runtime {
    pub(crate) use super::consumer::{Beside, Registered};
    pub(crate) use super::node::Shared;
    pub(crate) use super::status::Control;
}

use crate::store::EventStore;
use crate::{Position, ReadError, StoreError};
use handle::Running;

/// Why a read model is not rebuilt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// No such projector runs here.
    #[error(transparent)]
    Unknown(#[from] UnknownConsumer),
    /// It is being built already. Its health says how far that is.
    #[error("the read model is being built already")]
    AlreadyBuilding,
    /// It is a process: what it has done cannot be done anew.
    #[error("a process is not built anew")]
    NotAReadModel,
    /// It could not be begun.
    #[error("the read model could not be begun")]
    Start(#[source] StartError),
}

/// Why an operator's request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// No such projector runs here.
    #[error(transparent)]
    Unknown(#[from] UnknownConsumer),
    /// The read store failed.
    #[error("the read store failed")]
    Store(#[from] StoreError),
    /// The event store is.
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
}

/// Running projectors. Cloning gives another handle; when the last is dropped they stop.
///
/// ```
/// # use cqrs_core::{EventStore, Position, Projections, Projector, projection::{ReadStore, StartError}};
/// # use std::time::Duration;
/// # async fn example<S: ReadStore>(
/// #     store: impl EventStore, read: S, accounts: impl Projector<S>, position: Position,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let projections = Projections::builder(store, read).projector(accounts).start().await?;
///
/// // Read your write.
/// let accounts = projections.waiter(["accounts"])?;
/// accounts.wait(position, Duration::from_secs(2)).await;
///
/// for health in projections.health().await? {
///     println!("{}: {:?}, {} behind", health.name, health.state, health.lag);
/// }
/// projections.rebuild("accounts").await?;
/// projections.stop().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Projections {
    node: Arc<dyn Running>,
    _last: Arc<StopWithLast>,
}

/// Stops the node when the last handle is gone.
struct StopWithLast(Arc<dyn Running>);

impl Drop for StopWithLast {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.node.names();
        f.debug_struct("Projections").field("projectors", &names).finish_non_exhaustive()
    }
}

impl Projections {
    /// Over an event store, read as it is (give `app.store()` to read through upcasters), and a
    /// read store.
    pub fn builder<S: ReadStore>(events: impl EventStore, read: S) -> ProjectionsBuilder<S> {
        ProjectionsBuilder::new(Arc::new(events), read)
    }

    fn of(node: Arc<dyn Running>) -> Self {
        Self { _last: Arc::new(StopWithLast(Arc::clone(&node))), node }
    }

    pub(crate) fn known(&self, name: &str) -> Result<ConsumerName, UnknownConsumer> {
        let known = self.node.names().into_iter().find(|known| known.as_str() == name);
        known.ok_or_else(|| UnknownConsumer { name: name.to_owned() })
    }

    /// Lets everybody look again for what there is to do.
    pub(crate) fn wake(&self) {
        self.node.wake();
    }

    /// Something that waits for these projectors; for all of them if none is named.
    ///
    /// # Errors
    /// [`UnknownConsumer`] for a name that does not run here.
    pub fn waiter<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Waiter, UnknownConsumer> {
        let mut names: Vec<_> =
            names.into_iter().map(|name| self.known(name)).collect::<Result<_, _>>()?;
        if names.is_empty() {
            names = self.node.names();
        }
        let node = Arc::clone(&self.node);
        Ok(Waiter { names: names.into(), positions: node })
    }

    /// Waits until a projector knows everything up to a position.
    ///
    /// # Errors
    /// [`UnknownConsumer`] when it does not run here.
    pub async fn wait_for(
        &self,
        name: &str,
        position: Position,
        within: Duration,
    ) -> Result<Waited, UnknownConsumer> {
        Ok(self.waiter([name])?.wait(position, within).await)
    }

    /// Told after each commit of a projector, wherever it runs, with how far the read model that
    /// readers see has got; what happens in quick succession is told once. For pages that show
    /// what is there now.
    ///
    /// # Errors
    /// [`UnknownConsumer`] when it does not run here.
    pub fn changes(
        &self,
        name: &str,
    ) -> Result<impl Stream<Item = Position> + Send + use<>, UnknownConsumer> {
        const LONGEST: Duration = Duration::from_secs(86_400);
        let waiter = self.waiter([name])?;
        let (name, handle) = (self.known(name)?, self.clone());
        let seen = self.node.position_now(&name).unwrap_or_default();
        let state = (waiter, handle, name, seen);
        Ok(futures_util::stream::unfold(state, |(waiter, handle, name, seen)| async move {
            loop {
                match waiter.wait(seen.next(), LONGEST).await {
                    Waited::CaughtUp => {
                        let now =
                            handle.node.position_now(&name).unwrap_or_default().max(seen.next());
                        return Some((now, (waiter, handle, name, now)));
                    }
                    Waited::Behind if handle.node.is_stopping() => return None,
                    Waited::Behind => {}
                    Waited::Rebuilding => tokio::time::sleep(Duration::from_millis(250)).await,
                }
            }
        }))
    }

    /// Builds a read model anew, from the first event on and beside the one readers see, which
    /// stays until the new one has caught up. Returns when that has begun; its
    /// [`health`](Self::health) tells how it goes on, also after a restart.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn rebuild(&self, name: &str) -> Result<(), RebuildError> {
        let name = self.known(name)?;
        if self.node.is_process(&name) {
            return Err(RebuildError::NotAReadModel);
        }
        if !self.node.build_anew(&name).await.map_err(RebuildError::Start)? {
            return Err(RebuildError::AlreadyBuilding);
        }
        tracing::info!(projector = %name, "rebuilds its read model");
        Ok(())
    }

    /// Gives up a read model that is being built. Says whether there was one. What readers see
    /// stays; if that is of an earlier version, the next start builds again.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn cancel_rebuild(&self, name: &str) -> Result<bool, OperatorError> {
        Ok(self.node.cancel(&self.known(name)?).await?)
    }

    /// Waits until nothing is being built for a projector. Says whether that came in time.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn wait_until_built(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<bool, OperatorError> {
        let name = self.known(name)?;
        let built = async {
            let mut progressed = self.node.progressed();
            loop {
                progressed.borrow_and_update();
                let record = self.node.look_up(&name).await?;
                if record.is_some_and(|r| r.building().is_none() && r.live().is_some()) {
                    return Ok(true);
                }
                // Told at each heartbeat at least, also of what others do. Not faster than that.
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(progressed.changed().await);
            }
        };
        tokio::time::timeout(within, built).await.unwrap_or(Ok(false))
    }

    /// Stops a projector on all nodes until it is resumed. Events wait in the log meanwhile.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn pause(&self, name: &str) -> Result<(), OperatorError> {
        self.node.set_paused(&self.known(name)?, true).await?;
        Ok(())
    }

    /// Lets a projector go on that was paused, or that had stopped at an event.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn resume(&self, name: &str) -> Result<(), OperatorError> {
        self.node.set_paused(&self.known(name)?, false).await?;
        Ok(())
    }

    /// How every projector is doing, over all processes.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn health(&self) -> Result<Vec<Health>, OperatorError> {
        self.node.healths().await
    }

    /// The events a projector has put aside, in the order of the log, and those that were given
    /// up.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn parked(&self, name: &str) -> Result<Vec<ParkedEvent>, OperatorError> {
        let name = self.known(name)?;
        let record = self.node.look_up(&name).await?;
        match record.as_ref().and_then(|record| record.live()) {
            Some(live) => Ok(self.node.parked(&name, live.number).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Tries the events of a key again, in order, or those of all keys. Says how many there are;
    /// it happens in the process that runs the partition, soon.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn retry_parked(&self, name: &str, key: Option<&str>) -> Result<u64, OperatorError> {
        Ok(self.node.retry_parked(&self.known(name)?, key).await?)
    }

    /// Gives up an event that was put aside, for a reason that stays on record. The later ones of
    /// its key are tried. Says whether it was there.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn discard_parked(
        &self,
        name: &str,
        position: Position,
        reason: &str,
    ) -> Result<bool, OperatorError> {
        Ok(self.node.discard_parked(&self.known(name)?, position, reason).await?)
    }

    /// Finishes the transactions at work, saves the checkpoints and gives everything back, so
    /// that other processes take over at once.
    ///
    /// # Cancel safety
    /// Safe to drop; they stop all the same.
    pub async fn stop(&self) {
        self.node.stop();
        let mut progressed = self.node.progressed();
        // The node says so last of all.
        while !self.node.has_left() {
            drop(progressed.changed().await);
        }
    }
}
