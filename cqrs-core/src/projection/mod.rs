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
mod health;
mod inline;
mod node;
mod options;
mod policy;
mod projector;
mod read_store;
mod reader;
mod records;
mod runs;
mod status;
mod wait;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;

pub use builder::{ProjectionsBuilder, StartError};
pub use health::{Health, PartitionHealth, Progress, ProjectorState};
pub use inline::{AppendProjecting, InlineProjection, InlineStore, InlineStoreBuilder, OpenError};
use node::Shared;
pub use options::ProjectorOptions;
pub use policy::{FailurePolicy, Then};
pub use projector::{ProjectError, Projector};
pub use read_store::{
    CommitError, Lease, LeaseError, NewGeneration, Partition, ReadStore, Swap, Want,
};
pub use records::{
    Cluster, GenerationRecord, NodeRecord, ParkedEvent, PartitionRecord, ProjectorRecord, Trouble,
};
pub use wait::{UnknownProjector, Waited, Waiter};

use crate::names::ProjectorName;
use crate::store::EventStore;
use crate::{Position, ReadError, StoreError};

/// Why a read model is not rebuilt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// No such projector runs here.
    #[error(transparent)]
    Unknown(#[from] UnknownProjector),
    /// It is being built already. Its health says how far that is.
    #[error("the read model is being built already")]
    AlreadyBuilding,
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
    Unknown(#[from] UnknownProjector),
    /// The read store is in trouble.
    #[error("the read store is in trouble")]
    Store(#[from] StoreError),
    /// The event store is.
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
}

/// Running projectors. Cloning gives another handle; when the last is dropped they stop.
///
/// ```
/// # use cqrs_core::{EventStore, Projections, Projector, ReadStore, StartError, Position};
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
pub struct Projections<S: ReadStore> {
    shared: Arc<Shared<S>>,
    running: Arc<Running<S>>,
}

impl<S: ReadStore> Clone for Projections<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), running: Arc::clone(&self.running) }
    }
}

/// Stops the node when the last handle is gone.
struct Running<S: ReadStore>(Arc<Shared<S>>);

impl<S: ReadStore> Drop for Running<S> {
    fn drop(&mut self) {
        self.0.stopping.send_replace(true);
    }
}

impl<S: ReadStore> std::fmt::Debug for Projections<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.shared.projectors.iter().map(|p| p.name()).collect();
        f.debug_struct("Projections").field("projectors", &names).finish_non_exhaustive()
    }
}

impl<S: ReadStore> Projections<S> {
    /// Over an event store, read as it is (give `app.store()` to read through upcasters), and a
    /// read store.
    pub fn builder(events: impl EventStore, read: S) -> ProjectionsBuilder<S> {
        ProjectionsBuilder::new(Arc::new(events), read)
    }

    fn of(shared: Arc<Shared<S>>) -> Self {
        let running = Arc::new(Running(Arc::clone(&shared)));
        Self { shared, running }
    }

    /// The read store.
    #[must_use]
    pub fn read_store(&self) -> &S {
        &self.shared.read
    }

    fn known(&self, name: &str) -> Result<ProjectorName, UnknownProjector> {
        let known = self.shared.projectors.iter().find(|p| p.name().as_str() == name);
        known.map(|p| p.name().clone()).ok_or_else(|| UnknownProjector { name: name.to_owned() })
    }

    /// Something that waits for these projectors; for all of them if none is named.
    ///
    /// # Errors
    /// [`UnknownProjector`] for a name that does not run here.
    pub fn waiter<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Waiter, UnknownProjector> {
        let mut names: Vec<_> =
            names.into_iter().map(|name| self.known(name)).collect::<Result<_, _>>()?;
        if names.is_empty() {
            names = self.shared.projectors.iter().map(|p| p.name().clone()).collect();
        }
        let positions = Arc::clone(&self.shared) as Arc<dyn wait::Positions>;
        Ok(Waiter { names: names.into(), positions })
    }

    /// Waits until a projector knows everything up to a position.
    ///
    /// # Errors
    /// [`UnknownProjector`] when it does not run here.
    pub async fn wait_for(
        &self,
        name: &str,
        position: Position,
        within: Duration,
    ) -> Result<Waited, UnknownProjector> {
        Ok(self.waiter([name])?.wait(position, within).await)
    }

    /// Told after each commit of a projector, wherever it runs, with how far the read model that
    /// readers see has got; what happens in quick succession is told once. For pages that show
    /// what is there now.
    ///
    /// # Errors
    /// [`UnknownProjector`] when it does not run here.
    pub fn changes(
        &self,
        name: &str,
    ) -> Result<impl Stream<Item = Position> + Send + use<S>, UnknownProjector> {
        const LONGEST: Duration = Duration::from_secs(86_400);
        let waiter = self.waiter([name])?;
        let (name, handle) = (self.known(name)?, self.clone());
        let seen = self.shared.record(&name).and_then(|record| Some(record.live()?.position()));
        let state = (waiter, handle, name, seen.unwrap_or_default());
        Ok(futures_util::stream::unfold(state, |(waiter, handle, name, seen)| async move {
            loop {
                match waiter.wait(seen.next(), LONGEST).await {
                    Waited::CaughtUp => {
                        let now = handle.shared.position_now(&name).max(seen.next());
                        return Some((now, (waiter, handle, name, now)));
                    }
                    Waited::Behind if *handle.shared.stopping.borrow() => return None,
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
        let Some(projector) = self.shared.find(&name) else {
            return Err(UnknownProjector { name: name.as_str().to_owned() }.into());
        };
        if !self.shared.build(&**projector).await.map_err(RebuildError::Start)? {
            return Err(RebuildError::AlreadyBuilding);
        }
        tracing::info!(projector = %name, "rebuilds its read model");
        self.shared.nudge.notify_one();
        Ok(())
    }

    /// Gives up a read model that is being built. Says whether there was one. What readers see
    /// stays; if that is of an earlier version, the next start builds again.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn cancel_rebuild(&self, name: &str) -> Result<bool, OperatorError> {
        let cancelled = self.shared.read.cancel(&self.known(name)?).await?;
        self.shared.nudge.notify_one();
        Ok(cancelled)
    }

    /// Waits until nothing is being built for a projector. Says whether that came in time.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn built(&self, name: &str, within: Duration) -> Result<bool, OperatorError> {
        let name = self.known(name)?;
        let built = async {
            let mut progressed = self.shared.progressed.subscribe();
            loop {
                progressed.borrow_and_update();
                let record = self.shared.read.inspect(Some(&name)).await?.into_iter().next();
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
        self.set_paused(name, true).await
    }

    /// Lets a projector go on that was paused, or that had stopped at an event.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn resume(&self, name: &str) -> Result<(), OperatorError> {
        self.set_paused(name, false).await
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<(), OperatorError> {
        self.shared.read.set_paused(&self.known(name)?, paused).await?;
        self.shared.nudge.notify_one();
        Ok(())
    }

    /// How every projector is doing, over all processes.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn health(&self) -> Result<Vec<Health>, OperatorError> {
        let records = self.shared.read.inspect(None).await?;
        let head = self.shared.events.head().await?;
        let mut all = Vec::with_capacity(self.shared.projectors.len());
        for projector in &self.shared.projectors {
            let record = records.iter().find(|record| record.name == *projector.name());
            all.push(self.shared.health(&**projector, record, head).await?);
        }
        Ok(all)
    }

    /// The events a projector has put aside, in the order of the log, and those that were given
    /// up.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn parked(&self, name: &str) -> Result<Vec<ParkedEvent>, OperatorError> {
        let name = self.known(name)?;
        let record = self.shared.read.inspect(Some(&name)).await?.into_iter().next();
        match record.as_ref().and_then(|record| record.live()) {
            Some(live) => Ok(self.shared.read.parked(&name, live.number, None).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Tries the events of a key again, in order, or those of all keys. Says how many there are;
    /// it happens in the process that runs the partition, soon.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn retry_parked(&self, name: &str, key: Option<&str>) -> Result<u64, OperatorError> {
        let events = self.shared.read.request_retry(&self.known(name)?, key).await?;
        self.shared.nudge.notify_one();
        Ok(events)
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
        let known = self.known(name)?;
        let discarded = self.shared.read.discard(&known, position, reason).await?;
        self.shared.nudge.notify_one();
        Ok(discarded)
    }

    /// Finishes the transactions at work, saves the checkpoints and gives everything back, so
    /// that other processes take over at once.
    ///
    /// # Cancel safety
    /// Safe to drop; they stop all the same.
    pub async fn stop(&self) {
        self.shared.stopping.send_replace(true);
        let mut progressed = self.shared.progressed.subscribe();
        // The node says so last of all.
        while !self.shared.left.load(std::sync::atomic::Ordering::Acquire) {
            drop(progressed.changed().await);
        }
    }
}

impl<S: ReadStore> Shared<S> {
    /// How far the read model that readers see has got, without asking the store.
    fn position_now(&self, name: &ProjectorName) -> Position {
        let Some(record) = self.record(name) else { return Position::START };
        let Some(live) = record.live() else { return Position::START };
        let statuses = self.statuses();
        let positions = record.partitions(live).map(|(partition, record)| {
            let here = statuses.get(&partition).map(|status| status.inner().cursor);
            here.unwrap_or_default().max(record.position)
        });
        positions.min().unwrap_or_default()
    }
}
