//! Configures projectors and starts them.

use std::sync::Arc;
use std::time::Duration;

use super::consumers::Consumers;
use super::error::{ConsumerKind, StartError};
use super::options::ProjectorOptions;
use super::projections::Projections;
use super::projector::Projector;
use super::runtime::consumer::{Consumer, Registered};
use super::runtime::node::Node;
use super::runtime::shared::{Settings, Shared};
use super::store::ReadStore;
use crate::store::EventStore;
use crate::{App, Clock, Upcasters};

/// Configures projectors; [`start`](Self::start) runs them.
///
/// [`Projections::builder`] and [`Projections::builder_over`] return one.
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
/// # let app = App::new(store);
/// let options = ProjectorOptions::new().partitions(4).on_failure(FailurePolicy::park());
/// let projections = Projections::builder(&app, read)
///     .lease(Duration::from_secs(10))
///     .projector_with(Popular, options)
///     .start()
///     .await?;
/// assert!(projections.wait_until_built("popular", Duration::from_secs(5)).await?);
/// assert_eq!(projections.health().await?[0].partitions.len(), 4);
/// # Ok(()) }
/// ```
pub struct ProjectionsBuilder<S: ReadStore> {
    events: Arc<dyn EventStore>,
    /// Those of the `App`, if there is one.
    upcasters: Option<Upcasters>,
    read: S,
    kind: ConsumerKind,
    consumers: Vec<Arc<dyn Consumer<S>>>,
    settings: Settings,
}

impl<S: ReadStore> std::fmt::Debug for ProjectionsBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.consumers.iter().map(|consumer| consumer.name()).collect();
        f.debug_struct("ProjectionsBuilder").field("projectors", &names).finish_non_exhaustive()
    }
}

impl Projections {
    /// Configures projectors over the events of an application, which are read through its
    /// upcasters.
    pub fn builder<S: ReadStore>(app: &App, read: S) -> ProjectionsBuilder<S> {
        ProjectionsBuilder::for_app(app, read, ConsumerKind::Projector)
    }

    /// Configures projectors over an event store, for programs without an [`App`]. If events need
    /// upcasters, wrap the store in [`Upcasting`](crate::upcast::Upcasting).
    pub fn builder_over<S: ReadStore>(events: impl EventStore, read: S) -> ProjectionsBuilder<S> {
        ProjectionsBuilder::new(Arc::new(events), read, ConsumerKind::Projector)
    }
}

impl<S: ReadStore> ProjectionsBuilder<S> {
    pub(super) fn new(events: Arc<dyn EventStore>, read: S, kind: ConsumerKind) -> Self {
        let settings = Settings::default();
        Self { events, upcasters: None, read, kind, consumers: Vec::new(), settings }
    }

    /// `kind` is what the handle calls its consumers.
    pub(crate) fn for_app(app: &App, read: S, kind: ConsumerKind) -> Self {
        let upcasters = Some(app.upcasters().clone());
        Self { upcasters, ..Self::new(Arc::clone(app.store()), read, kind) }
    }

    /// Adds a projector with the default options.
    #[must_use]
    pub fn projector(self, projector: impl Projector<S>) -> Self {
        self.projector_with(projector, ProjectorOptions::new())
    }

    /// Adds a projector with options.
    #[must_use]
    pub fn projector_with(self, projector: impl Projector<S>, options: ProjectorOptions) -> Self {
        self.consumer(Arc::new(Registered::<S, _>::projector(projector, options)))
    }

    pub(crate) fn consumer(mut self, consumer: Arc<dyn Consumer<S>>) -> Self {
        self.consumers.push(consumer);
        self
    }

    /// Sets how long a node keeps its partitions after its last heartbeat. Nodes send a heartbeat
    /// three times as often. Default: 3 seconds; at least 30 milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.max(Duration::from_millis(30));
        self
    }

    /// Sets how often to read the head of the log, with one small query for all projectors. This
    /// bounds the delay of an event whose notification is lost. Default: 1 second.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets the clock. Default: the clock of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Starts the projectors. They run until [`stop`](Projections::stop) is called or the last
    /// handle is dropped.
    ///
    /// A read model is built from the first event on if it is new, if its version or its number of
    /// partitions changed, or if its tables are gone. Readers see the old one until the new one
    /// has caught up.
    ///
    /// # Errors
    /// [`StartError`] if two projectors have the same name, if upcasters are missing, if a
    /// projector cannot create its tables, or if a store fails. Then no projector runs.
    pub async fn start(self) -> Result<Projections, StartError> {
        Ok(Projections::new(self.start_consumers().await?))
    }

    pub(crate) async fn start_consumers(self) -> Result<Consumers, StartError> {
        self.check()?;
        let shared = Arc::new(Shared::new(self.events, self.read, self.settings));
        for consumer in &self.consumers {
            shared.build_if_missing(&**consumer).await?;
        }
        shared.load_records().await?;
        let node = Node::new(shared, self.consumers);
        let handle = node.handle();
        tokio::spawn(node.run());
        Ok(Consumers::new(handle, self.kind))
    }

    fn check(&self) -> Result<(), StartError> {
        for (nth, consumer) in self.consumers.iter().enumerate() {
            let (kind, name) = (consumer.kind(), consumer.name());
            if self.consumers.iter().take(nth).any(|other| other.name() == name) {
                return Err(StartError::DuplicateName { kind, name: name.clone() });
            }
            if let Some(upcasters) = &self.upcasters {
                let checked = consumer.check(upcasters);
                checked.map_err(|source| StartError::Upcasters {
                    kind,
                    name: name.clone(),
                    source,
                })?;
            }
        }
        Ok(())
    }
}
