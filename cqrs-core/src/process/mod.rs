//! Processes: conversations between aggregates that survive a crash at any step.
//!
//! A [`ProcessManager`] takes in events, one instance at a time, and says what is to be done as
//! data: commands, timers, an end. State, checkpoint and what is to be done are one transaction;
//! [`Processes`] then does it.

mod desk;
mod destinations;
mod effects;
mod exchange;
mod manager;
mod operator;
mod options;
mod outbox;
mod projector;
mod records;
mod store;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;

pub use destinations::Destinations;
pub use effects::{Effects, Rejected, Timeout};
pub use manager::{ProcessManager, Route};
pub use options::ProcessOptions;
pub use records::{Instance, InstanceStatus, OutgoingCommand, Request, Timer, Todo, Wish};
pub use store::{InstanceQuery, ProcessStore};

use crate::projection::runtime::{Beside, Runs};
use crate::projection::{
    FailurePolicy, OperatorError, Projections, ProjectionsBuilder, ProjectorOptions, StartError,
};
use crate::{App, Clock, SystemClock};
use exchange::Exchange;
use outbox::Outbox;
use projector::ProcessProjector;

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

/// Collects processes; [`start`](Self::start) runs them.
pub struct ProcessesBuilder<S: ProcessStore> {
    app: App,
    store: S,
    clock: Arc<dyn Clock>,
    consumers: ProjectionsBuilder<S>,
    processes: Vec<Arc<dyn Runs<S>>>,
}

impl<S: ProcessStore> std::fmt::Debug for ProcessesBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.processes.iter().map(|process| process.name());
        f.debug_list().entries(names).finish()
    }
}

impl<S: ProcessStore> ProcessesBuilder<S> {
    fn new(app: App, store: S) -> Self {
        let consumers = Projections::builder(Arc::clone(app.store()), store.clone());
        Self { app, store, clock: Arc::new(SystemClock), consumers, processes: Vec::new() }
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
    pub fn process_with<M: ProcessManager>(mut self, manager: M, options: ProcessOptions) -> Self {
        let (manager, destinations) = (Arc::new(manager), Arc::new(M::destinations()));
        let exchange = Arc::new(Exchange::default());
        let projector = ProcessProjector {
            manager: Arc::clone(&manager),
            destinations: Arc::clone(&destinations),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            exchange: Arc::clone(&exchange),
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
        let runs = ProjectorOptions::new().batch(200).on_failure(FailurePolicy::stop());
        self.processes.push(Arc::new(Beside::new(projector, runs, beside)));
        self
    }

    /// Begins to take in the log, from its first event when a process is new, and runs the
    /// processes until [`stop`](Processes::stop) is called or the last handle is dropped.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Processes<S>, StartError> {
        let projections = self.consumers.registered(self.processes).start().await?;
        Ok(Processes { projections, store: self.store })
    }
}
