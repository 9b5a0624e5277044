//! Processes: conversations between aggregates that survive a crash at any step.
//!
//! A [`ProcessManager`] takes in events, one instance at a time, and says what is to be done as
//! data: commands, timers, an end. State, checkpoint and what is to be done are one transaction;
//! [`Processes`] then does it.

mod desk;
mod destinations;
mod effects;
mod exchange;
mod handler;
mod manager;
mod operator;
mod options;
mod outbox;
mod plan;
mod projector;
mod records;
mod schedule;
mod store;
#[cfg(test)]
mod tests;
pub mod turn;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;

pub use destinations::Destinations;
pub use effects::{Effects, Rejected, Timeout};
pub use handler::{EventHandler, HandlerContext, HandlerError};
pub use manager::{ProcessManager, Route};
pub use options::{HandlerOptions, ProcessOptions};
pub use plan::{NotCancelled, Plan, PlanError, Planner};
pub use records::{Instance, InstanceStatus, OutgoingCommand, Request, Timer, Todo, Wish};
pub use schedule::{Missed, Schedule};
pub use store::{InstanceQuery, ProcessStore};

use crate::projection::runtime::{Beside, Registered};
use crate::projection::{
    FailurePolicy, OperatorError, Projections, ProjectionsBuilder, ProjectorOptions, StartError,
};
use crate::{Aggregate, App, Clock, Command, SystemClock};
use exchange::Exchange;
use handler::HandlerProjector;
use outbox::Outbox;
use plan::PlannedCommands;
use projector::{First, ProcessProjector};
use schedule::{INSTANCE, Recurring};

/// Runs processes. Dropping the last clone ends them; what is not done is done by another process
/// of the application, or at the next start.
#[derive(Clone, Debug)]
pub struct Processes<S> {
    projections: Projections,
    store: S,
}

impl<S: ProcessStore> Processes<S> {
    /// Over an application, whose commands are sent and whose log is followed.
    pub fn builder(app: App, store: S) -> ProcessesBuilder<S> {
        ProcessesBuilder::new(app, store)
    }

    /// The processes as consumers of the log: their health and how far they have got; to wait for
    /// one, to pause it.
    #[must_use]
    pub const fn consumers(&self) -> &Projections {
        &self.projections
    }

    /// Instances, by id.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn instances(
        &self,
        process: &str,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, OperatorError> {
        let name = self.projections.known(process)?;
        Ok(self.store.list_instances(&name, query).await?)
    }

    /// Asks an instance to go on that waits for an operator: its commands are sent again, then the
    /// events that wait are taken in. Says whether it is there.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn retry(&self, process: &str, instance: &str) -> Result<bool, OperatorError> {
        self.request(process, instance, Wish::Retry).await
    }

    /// Asks an instance to end; its commands, timers and waiting events are forgotten. Says whether
    /// it is there.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn end(&self, process: &str, instance: &str) -> Result<bool, OperatorError> {
        self.request(process, instance, Wish::End).await
    }

    async fn request(
        &self,
        process: &str,
        instance: &str,
        wish: Wish,
    ) -> Result<bool, OperatorError> {
        let name = self.projections.known(process)?;
        let request = Request { instance: instance.to_owned(), wish };
        let is_there = self.store.request(&name, &request).await?;
        self.projections.wake();
        Ok(is_there)
    }

    /// Stops after what is being done, and gives everything back.
    pub async fn stop(&self) {
        self.projections.stop().await;
    }
}

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
    fn new(app: App, store: S) -> Self {
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
    pub fn schedule<R: Schedule>(self, schedule: R) -> Self
    where
        <R::Command as Command>::Aggregate:
            Aggregate<Command: Command<Aggregate = <R::Command as Command>::Aggregate>>,
    {
        let schedule = Arc::new(Recurring(schedule));
        let first = Arc::clone(&schedule);
        let first = Box::new(move |now| first.first(now));
        self.run(schedule, ProcessOptions::new(), Some((INSTANCE, first)))
    }

    /// Sends the commands that were planned with a [`Planner`], to these aggregates.
    #[must_use]
    pub fn planned_commands(self, destinations: Destinations) -> Self {
        self.process(PlannedCommands { destinations })
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

    /// Begins to take in the log and runs processes and handlers until [`stop`](Processes::stop) is called or the last handle is dropped.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Processes<S>, StartError> {
        let projections = self.consumers.start().await?;
        Ok(Processes { projections, store: self.store })
    }
}
