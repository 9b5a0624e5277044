//! Putting projectors together and starting them.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::Projections;
use super::consumer::{Consumer, Registered};
use super::node::{Node, Shared};
use super::options::ProjectorOptions;
use super::projector::{ProjectError, Projector};
use super::read_store::ReadStore;
use crate::names::ConsumerName;
use crate::store::{EventStore, LogRead};
use crate::subscription::Start;
use crate::{
    Clock, InvalidUpcasters, Position, ReadError, StoreError, StoreErrorKind, SystemClock,
};

/// Why projectors were not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Two projectors have the same name.
    #[error("two projectors are called `{name}`")]
    Repeated {
        /// The name.
        name: ConsumerName,
    },
    /// A projector could not make its tables.
    #[error("projector `{name}` did not make its tables")]
    Create {
        /// Its name.
        name: ConsumerName,
        /// What it said.
        #[source]
        source: ProjectError,
    },
    /// A process declares no aggregate to send commands to. Add them with
    /// [`Destinations::to`](crate::process::Destinations::to), or return
    /// [`Destinations::none`](crate::process::Destinations::none).
    #[error("process `{process}` has no destinations")]
    NoDestinations {
        /// The name of the process.
        process: String,
    },
    /// A process sends commands to two aggregates of the same category.
    #[error("process `{process}` has two destinations of category `{category}`")]
    DuplicateDestination {
        /// The name of the process.
        process: String,
        /// The category.
        category: &'static str,
    },
    /// The events of an aggregate that a process sends commands to have earlier versions that the
    /// [`App`](crate::App) has no upcasters for. Add them with
    /// [`AppBuilder::upcasters`](crate::app::AppBuilder::upcasters).
    #[error(
        "process `{process}`: aggregate `{category}` cannot read earlier versions of its events"
    )]
    DestinationUpcasters {
        /// The name of the process.
        process: String,
        /// The category of the aggregate.
        category: &'static str,
        /// The upcaster that is missing.
        #[source]
        source: InvalidUpcasters,
    },
    /// The read store failed.
    #[error("the read store failed")]
    Store(#[from] StoreError),
}

/// Collects projectors; [`start`](Self::start) runs them.
pub struct ProjectionsBuilder<S: ReadStore> {
    events: Arc<dyn EventStore>,
    read: S,
    projectors: Vec<Arc<dyn Consumer<S>>>,
    lease: Duration,
    poll_interval: Duration,
    clock: Arc<dyn Clock>,
}

impl<S: ReadStore> std::fmt::Debug for ProjectionsBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.projectors.iter().map(|projector| projector.name()).collect();
        f.debug_struct("ProjectionsBuilder").field("projectors", &names).finish_non_exhaustive()
    }
}

impl<S: ReadStore> ProjectionsBuilder<S> {
    pub(super) fn new(events: Arc<dyn EventStore>, read: S) -> Self {
        Self {
            events,
            read,
            projectors: Vec::new(),
            lease: Duration::from_secs(3),
            poll_interval: Duration::from_secs(1),
            clock: Arc::new(SystemClock),
        }
    }

    /// Adds a projector.
    #[must_use]
    pub fn projector(self, projector: impl Projector<S>) -> Self {
        self.projector_with(projector, ProjectorOptions::new())
    }

    /// Adds a projector and says how it is run.
    #[must_use]
    pub fn projector_with(
        mut self,
        projector: impl Projector<S>,
        options: ProjectorOptions,
    ) -> Self {
        self.projectors.push(Arc::new(Registered::new::<S>(projector, options, false)));
        self
    }

    pub(crate) fn registered(mut self, consumer: Arc<dyn Consumer<S>>) -> Self {
        self.projectors.push(consumer);
        self
    }

    /// Sets how long a process may be silent before others take over what it runs; 3 seconds
    /// unless it is said otherwise, at least 30 milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }

    /// Sets the longest time until a new event is seen when the store's hints get lost; a second
    /// unless it is said otherwise. One small query for all projectors.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Takes the time from here instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Begins to build what is missing, and runs the projectors until
    /// [`stop`](Projections::stop) is called or the last handle is dropped.
    ///
    /// A projector that is new, has another version or number of partitions, or whose tables are
    /// gone, is built from the first event on, beside what readers see.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Projections, StartError> {
        let shared = Arc::new(self.prepare().await?);
        tokio::spawn(Node::new(Arc::clone(&shared)).run());
        Ok(Projections::of(shared))
    }

    async fn prepare(self) -> Result<Shared<S>, StartError> {
        for (nth, projector) in self.projectors.iter().enumerate() {
            let name = projector.name();
            if self.projectors.iter().skip(nth + 1).any(|other| other.name() == name) {
                return Err(StartError::Repeated { name: name.clone() });
            }
        }
        let shared = Shared {
            events: self.events,
            read: self.read,
            clock: self.clock,
            node: Uuid::now_v7(),
            lease: self.lease,
            poll_interval: self.poll_interval,
            projectors: self.projectors,
            cluster: RwLock::default(),
            statuses: Mutex::default(),
            beat: AtomicU64::new(0),
            nudge: Notify::new(),
            progressed: watch::Sender::new(0),
            looked: watch::Sender::default(),
            stopping: watch::Sender::new(false),
            left: AtomicBool::new(false),
        };
        for projector in &shared.projectors {
            shared.build_if_missing(&**projector).await?;
        }
        let projectors = shared.read.inspect(None).await?;
        *shared.cluster.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
            super::records::Cluster { nodes: Vec::new(), consumers: projectors };
        Ok(shared)
    }
}

impl<S: ReadStore> Shared<S> {
    /// Begins a generation unless readers see one that fits.
    async fn build_if_missing(&self, projector: &dyn Consumer<S>) -> Result<(), StartError> {
        let record = self.read.inspect(Some(projector.name())).await?.into_iter().next();
        let live = record.as_ref().and_then(|record| record.live());
        let (version, partitions) = (projector.version(), projector.options().partitions);
        let why = match live {
            Some(live) if live.version > version => {
                tracing::warn!(
                    projector = %projector.name(), live = live.version, version,
                    "readers see a later version; this one does not run"
                );
                return Ok(());
            }
            Some(live) if !live.intact => "its tables are gone",
            Some(live) if live.version < version => "it has a new version",
            Some(live) if live.partitions.len() != partitions as usize => {
                "it has another number of partitions"
            }
            Some(_) => return Ok(()),
            None => "it is new",
        };
        if self.build(projector).await? {
            tracing::info!(projector = %projector.name(), version, why, "builds its read model");
        } else {
            tracing::info!(projector = %projector.name(), version, why, "goes on building");
        }
        Ok(())
    }

    /// Begins a generation. Says whether one was begun; otherwise one is being built already.
    pub(super) async fn build(&self, projector: &dyn Consumer<S>) -> Result<bool, StartError> {
        let (name, partitions) = (projector.name(), projector.options().partitions);
        let after = position_of(&*self.events, projector.start()).await?;
        let new = self.read.new_generation(name, projector.version(), partitions, after).await?;
        let Some(mut new) = new else { return Ok(false) };
        projector
            .create(&mut new.tx)
            .await
            .map_err(|source| StartError::Create { name: name.clone(), source })?;
        self.read.commit_new(new.tx).await?;
        Ok(true)
    }
}

/// Behind which position a consumer begins.
async fn position_of(events: &dyn EventStore, start: Start) -> Result<Position, StoreError> {
    let moment = match start {
        Start::Origin => return Ok(Position::START),
        Start::Now => return events.head().await,
        Start::After(position) => return Ok(position),
        Start::At(moment) => moment,
    };
    let mut last = Position::START;
    let mut pages = events.read_log(LogRead::forward());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| match error {
            ReadError::Store(error) => error,
            other => {
                StoreError::new(StoreErrorKind::Internal, other.to_string()).with_source(other)
            }
        })?;
        for event in page.events {
            if event.recorded_at >= moment {
                return Ok(last);
            }
            last = event.position;
        }
    }
    Ok(last)
}
