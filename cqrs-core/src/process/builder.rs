//! What runs, collected.

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
use crate::projection::runtime::{Beside, Registered};
use crate::projection::{
    FailurePolicy, Projections, ProjectionsBuilder, ProjectorOptions, StartError,
};
use crate::{Aggregate, App, Clock, Command, SystemClock};

/// Collects processes and handlers; [`start`](Self::start) runs them.
pub struct ProcessesBuilder<S: ProcessStore> {
    app: App,
    store: S,
    clock: Arc<dyn Clock>,
    consumers: ProjectionsBuilder<S>,
}

impl<S: ProcessStore> std::fmt::Debug for ProcessesBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.consumers.fmt(f)
    }
}

impl<S: ProcessStore> ProcessesBuilder<S> {
    pub(super) fn new(app: App, store: S) -> Self {
        let consumers = Projections::builder(Arc::clone(app.store()), store.clone());
        Self { app, store, clock: Arc::new(SystemClock), consumers }
    }

    /// Takes the time from here instead of the machine. Timers go off by it.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + Clone) -> Self {
        self.clock = Arc::new(clock.clone());
        self.consumers = self.consumers.clock(clock);
        self
    }

    /// Sets how long a program may be silent before others take over; see
    /// [`ProjectionsBuilder::lease`].
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.consumers = self.consumers.lease(lease);
        self
    }

    /// Sets how often it is looked for timers that are due and for what operators ask for; a second
    /// unless it is said otherwise.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.consumers = self.consumers.poll_interval(interval);
        self
    }

    /// Adds a process.
    #[must_use]
    pub fn process(self, manager: impl ProcessManager) -> Self {
        self.process_with(manager, ProcessOptions::new())
    }

    /// Adds a process and says how it is run.
    #[must_use]
    pub fn process_with<M: ProcessManager>(self, manager: M, options: ProcessOptions) -> Self {
        self.run(Arc::new(manager), options, None)
    }

    /// Adds a schedule.
    #[must_use]
    pub fn recurring<R: RecurringCommand>(self, command: R) -> Self
    where
        <R::Command as Command>::Aggregate:
            Aggregate<Command: Command<Aggregate = <R::Command as Command>::Aggregate>>,
    {
        let schedule = Arc::new(Recurring(command));
        let first = Arc::clone(&schedule);
        let first = Box::new(move |now| first.first(now));
        self.run(schedule, ProcessOptions::new(), Some((INSTANCE, first)))
    }

    /// Sends the commands that were planned with a [`CommandScheduler`](super::CommandScheduler), to these aggregates.
    #[must_use]
    pub fn scheduled_commands(self, destinations: Destinations) -> Self {
        self.process(ScheduledCommands { destinations })
    }

    fn run<M: ProcessManager>(
        mut self,
        manager: Arc<M>,
        options: ProcessOptions,
        first: Option<First>,
    ) -> Self {
        let destinations = Arc::new(manager.destinations());
        let exchange = Arc::new(Exchange::default());
        let projector = ProcessProjector {
            manager: Arc::clone(&manager),
            destinations: Arc::clone(&destinations),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            exchange: Arc::clone(&exchange),
            first,
            changed: Mutex::default(),
        };
        let app = self.app.clone();
        let beside = move |shared, lease, control| {
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
        // What fails outside of any instance: whom an event concerns is not known then.
        let policy = FailurePolicy::stop()
            .retries(options.retries)
            .pauses(options.first_pause, options.longest_pause);
        let runs = ProjectorOptions::new().batch(200).on_failure(policy);
        let registered = Registered::lasting::<S>(projector, runs, options.start);
        self.consumers = self.consumers.registered(Arc::new(Beside::new(registered, beside)));
        self
    }

    /// Adds a handler.
    #[must_use]
    pub fn handler(self, handler: impl EventHandler) -> Self {
        self.handler_with(handler, HandlerOptions::new())
    }

    /// Adds a handler and says how it is run.
    #[must_use]
    pub fn handler_with(mut self, handler: impl EventHandler, options: HandlerOptions) -> Self {
        let app = self.app.clone();
        let handler = HandlerProjector { handler, app, options, handled: Mutex::default() };
        let runs = ProjectorOptions::new().batch(options.concurrency);
        let runs = runs.on_failure(options.on_failure);
        let registered = Registered::lasting::<S>(handler, runs, options.start);
        self.consumers = self.consumers.registered(Arc::new(registered));
        self
    }

    /// Begins to take in the log and runs processes and handlers until
    /// [`stop`](Processes::stop) is called or the last handle is dropped.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Processes<S>, StartError> {
        let projections = self.consumers.start().await?;
        Ok(Processes { projections, store: self.store })
    }
}
