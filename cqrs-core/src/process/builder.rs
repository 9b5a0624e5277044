//! The builder of processes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;

use super::Processes;
use super::destinations::Destinations;
use super::exchange::Exchange;
use super::handler::{EventHandler, HandlerProjector};
use super::manager::ProcessManager;
use super::options::{HandlerOptions, ProcessOptions};
use super::outbox::Outbox;
use super::projector::{First, ProcessProjector};
use super::recurring::{INSTANCE, Recurring, RecurringCommand};
use super::scheduled::ScheduledCommands;
use super::store::ProcessStore;
use crate::projection::runtime::Registered;
use crate::projection::{
    ConsumerKind, FailurePolicy, ProjectionsBuilder, ProjectorOptions, StartError,
};
use crate::{Aggregate, App, Clock, Command, SystemClock};

/// Collects process managers, handlers, and recurring and scheduled commands;
/// [`start`](Self::start) runs them. Created by [`Processes::builder`].
///
/// ```
/// # use cqrs_core::{*, event::*};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ship { order: String }
/// # #[derive(Default)] struct Shop;
/// # struct Shipped;
/// # impl Event for Shipped {
/// #     const TYPES: &'static [EventType] = &[EventType::new("shop.shipped", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&()) }
/// #     fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> { Ok(Self) }
/// # }
/// # impl Command for Ship { type Aggregate = Shop; fn aggregate_id(&self) -> String { self.order.clone() } }
/// # impl Aggregate for Shop {
/// #     const CATEGORY: &'static str = "shop";
/// #     type Id = String; type Command = Ship; type Event = Shipped; type Error = std::fmt::Error;
/// #     fn execute(&self, _: Ship) -> Result<Vec<Shipped>, std::fmt::Error> { Ok(vec![Shipped]) }
/// #     fn apply(&mut self, _: &Shipped) {}
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::process::{CommandScheduler, Destinations, ScheduledCommand};
/// use cqrs_core::subscription::SubscriptionOptions;
/// use cqrs_memory::{MemoryReadStore, MemoryStore};
/// use std::time::Duration;
///
/// let app = App::new(MemoryStore::new());
/// let processes = Processes::builder(&app, MemoryReadStore::new())
///     .poll_interval(Duration::from_millis(100))
///     .scheduled_commands(Destinations::new().to::<Shop>())
///     .start()
///     .await?;
///
/// // Due at once.
/// let ship = ScheduledCommand::new("ship-7", Timestamp::UNIX_EPOCH, Ship { order: "7".into() });
/// CommandScheduler::new(app.clone()).schedule(ship).await?;
///
/// let mut events = app.store().subscribe(SubscriptionOptions::all()).await?;
/// while events.next().await.unwrap()?.stream.as_str() != "shop-7" {}
/// processes.stop().await;
/// # Ok(()) }
/// ```
pub struct ProcessesBuilder<S: ProcessStore> {
    app: App,
    store: S,
    clock: Arc<dyn Clock>,
    consumers: ProjectionsBuilder<S>,
    /// The name of each process and its destinations, to be checked at start.
    destinations: Vec<(&'static str, Arc<Destinations>)>,
}

impl<S: ProcessStore> std::fmt::Debug for ProcessesBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.consumers.fmt(f)
    }
}

impl<S: ProcessStore> ProcessesBuilder<S> {
    pub(super) fn new(app: &App, store: S) -> Self {
        let consumers = ProjectionsBuilder::for_app(app, store.clone(), ConsumerKind::Process);
        let app = app.clone();
        Self { app, store, clock: Arc::new(SystemClock), consumers, destinations: Vec::new() }
    }

    /// Sets the clock that decides when timers are due. Default: the system clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + Clone) -> Self {
        self.clock = Arc::new(clock.clone());
        self.consumers = self.consumers.clock(clock);
        self
    }

    /// Sets how long a node may go without renewing its leases before other nodes take over. At
    /// least 30 ms. Default: 3 seconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.consumers = self.consumers.lease(lease);
        self
    }

    /// Sets how often the store is polled for due timers and operator requests, and for new events
    /// in case a notification is lost. Default: 1 second.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.consumers = self.consumers.poll_interval(interval);
        self
    }

    /// Adds a process manager with default options.
    #[must_use]
    pub fn process(self, manager: impl ProcessManager) -> Self {
        self.process_with(manager, ProcessOptions::new())
    }

    /// Adds a process manager with its options.
    #[must_use]
    pub fn process_with<M: ProcessManager>(self, manager: M, options: ProcessOptions) -> Self {
        self.run(Arc::new(manager), options, None)
    }

    /// Adds a recurring command.
    #[must_use]
    pub fn recurring<R: RecurringCommand>(self, command: R) -> Self
    where
        <R::Command as Command>::Aggregate:
            Aggregate<Command: Command<Aggregate = <R::Command as Command>::Aggregate>>,
    {
        let recurring = Arc::new(Recurring(command));
        let first = Arc::clone(&recurring);
        let first = Box::new(move |now| first.first(now));
        self.run(recurring, ProcessOptions::new(), Some((INSTANCE, first)))
    }

    /// Sends the commands that were scheduled with a [`CommandScheduler`](super::CommandScheduler),
    /// to these aggregates only. A command to any other aggregate suspends its instance.
    #[must_use]
    pub fn scheduled_commands(mut self, destinations: Destinations) -> Self {
        self.destinations.push((ScheduledCommands::NAME, Arc::new(destinations.clone())));
        self.process(ScheduledCommands { destinations })
    }

    fn run<M: ProcessManager>(
        mut self,
        manager: Arc<M>,
        options: ProcessOptions,
        first: Option<First>,
    ) -> Self {
        let destinations = Arc::new(manager.destinations());
        self.destinations.push((M::NAME, Arc::clone(&destinations)));
        let exchange = Arc::new(Exchange::default());
        let projector = ProcessProjector {
            app: self.app.clone(),
            manager: Arc::clone(&manager),
            destinations: Arc::clone(&destinations),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            exchange: Arc::clone(&exchange),
            first,
            changed: Mutex::default(),
        };
        let app = self.app.clone();
        let outbox = move |shared, lease, control| {
            let outbox = Outbox {
                app: app.clone(),
                shared,
                lease,
                control,
                manager: Arc::clone(&manager),
                destinations: Arc::clone(&destinations),
                exchange: Arc::clone(&exchange),
                options,
                actor: format!("process:{}", M::NAME),
            };
            outbox.run().boxed()
        };
        // For failures that concern no instance because the routes of an event are unknown.
        let policy = FailurePolicy::stop()
            .retries(options.retries)
            .pauses(options.first_pause, options.longest_pause);
        let projector_options = ProjectorOptions::new().batch(200).on_failure(policy);
        let registered = Registered::reaction(
            ConsumerKind::Process,
            projector,
            projector_options,
            options.start,
        );
        self.consumers = self.consumers.consumer(Arc::new(registered.with_task(outbox)));
        self
    }

    /// Adds an event handler with default options.
    #[must_use]
    pub fn handler(self, handler: impl EventHandler) -> Self {
        self.handler_with(handler, HandlerOptions::new())
    }

    /// Adds an event handler with its options.
    #[must_use]
    pub fn handler_with(mut self, handler: impl EventHandler, options: HandlerOptions) -> Self {
        let app = self.app.clone();
        let handler = HandlerProjector { handler, app, options, handled: Mutex::default() };
        let projector_options = ProjectorOptions::new().batch(options.concurrency);
        let projector_options = projector_options.on_failure(options.on_failure);
        let registered =
            Registered::reaction(ConsumerKind::Handler, handler, projector_options, options.start);
        self.consumers = self.consumers.consumer(Arc::new(registered));
        self
    }

    /// Checks everything that was added and runs it until [`stop`](Processes::stop) is called or
    /// the last handle is dropped.
    ///
    /// # Errors
    /// Returns [`StartError`] if two names are equal, upcasters are missing, the destinations of a
    /// process are invalid, or the store fails. In that case nothing runs.
    pub async fn start(self) -> Result<Processes, StartError> {
        for (process, destinations) in &self.destinations {
            if let Err(invalid) = destinations.check(&self.app) {
                return Err(invalid.of(process));
            }
        }
        let consumers = self.consumers.start_consumers().await?;
        Ok(Processes { consumers, instances: Arc::new(self.store) })
    }
}
