//! Processes: reactions to events that survive a crash at any step.
//!
//! - A [`ProcessManager`] coordinates several aggregates. It routes each event to an instance,
//!   updates that instance's state and returns commands and timers as data.
//! - An [`EventHandler`] reacts to each event on its own, without state.
//! - A [`RecurringCommand`] is sent repeatedly; a [`ScheduledCommand`] is sent once.
//!
//! [`Processes`] runs all of them over an [`App`] and a [`ProcessStore`].

mod builder;
mod desk;
mod destinations;
mod effects;
mod exchange;
mod handler;
mod manager;
mod operator;
mod options;
mod outbox;
mod projector;
mod records;
mod recurring;
mod scheduled;
mod store;
pub mod testing;
#[cfg(test)]
mod tests;

pub use builder::ProcessesBuilder;
pub use destinations::Destinations;
pub use effects::{Effects, RejectedCommand, Timeout};
pub use handler::{EventHandler, HandlerContext, HandlerError};
pub use manager::{ProcessManager, Route};
pub use options::{HandlerOptions, ProcessOptions};
pub use records::{
    Instance, InstanceStatus, OperatorAction, OutgoingCommand, PendingWork, Request, Timer,
};
pub use recurring::{MissedTicks, RecurringCommand};
pub use scheduled::{CancelError, CommandScheduler, ScheduleError, ScheduledCommand};
pub use store::{InstanceQuery, ProcessStore};

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;

use crate::names::ConsumerName;
use crate::projection::{Consumers, OperatorError, consumer_operations};
use crate::{App, StoreError};

/// Running process managers, handlers, and recurring and scheduled commands.
///
/// Several nodes that run the same processes share the work. A clone is another handle to the same
/// processes; when the last one is dropped, they stop, and other nodes, or the next start, continue
/// their work.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cqrs_core::process::ProcessManager;
/// use cqrs_core::process::{Destinations, InstanceQuery};
/// use cqrs_core::{App, Processes};
/// use cqrs_memory::{MemoryReadStore, MemoryStore};
///
/// let app = App::new(MemoryStore::new());
/// let processes = Processes::builder(&app, MemoryReadStore::new())
///     .scheduled_commands(Destinations::none())
///     .start()
///     .await?;
///
/// let suspended = InstanceQuery::page().suspended();
/// assert!(processes.instances("scheduled_commands", &suspended).await?.is_empty());
/// processes.stop().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Processes {
    consumers: Consumers,
    instances: Arc<dyn Instances>,
}

/// What a handle needs from a process store, independent of its type.
#[async_trait]
trait Instances: Send + Sync {
    async fn list(
        &self,
        process: &ConsumerName,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, StoreError>;

    async fn request(&self, process: &ConsumerName, request: &Request) -> Result<bool, StoreError>;
}

#[async_trait]
impl<S: ProcessStore> Instances for S {
    async fn list(
        &self,
        process: &ConsumerName,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, StoreError> {
        self.list_instances(process, query).await
    }

    async fn request(&self, process: &ConsumerName, request: &Request) -> Result<bool, StoreError> {
        ProcessStore::request(self, process, request).await
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("consumers", &self.consumers).finish_non_exhaustive()
    }
}

impl Processes {
    /// Returns a builder. Events are read from the application's store and commands are dispatched
    /// by the application; instances are stored in `store`.
    pub fn builder<S: ProcessStore>(app: &App, store: S) -> ProcessesBuilder<S> {
        ProcessesBuilder::new(app, store)
    }

    consumer_operations!("process or handler", "processes and handlers");

    /// Waits until a process or handler has caught up with the log after its first start, for at
    /// most `within`. Returns `false` if it has not caught up by then.
    ///
    /// Until then a process sends no commands, because the log may already contain their results.
    ///
    /// # Errors
    /// Returns [`OperatorError`] if no process or handler has this name, or if the store fails.
    ///
    /// # Cancel safety
    /// Safe: dropping the future has no effect.
    pub async fn wait_until_started(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<bool, OperatorError> {
        self.consumers.wait_until_live(name, within).await
    }

    /// Returns one page of a process's instances, ordered by id.
    ///
    /// # Errors
    /// Returns [`OperatorError`] if no process has this name, or if the store fails.
    pub async fn instances(
        &self,
        process: &str,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, OperatorError> {
        let name = self.consumers.find(process)?;
        Ok(self.instances.list(&name, query).await?)
    }

    /// Returns all instances that match a query, ordered by id. They are read page by page: the
    /// query's limit is the page size. An instance that changes while the stream is read may appear
    /// before or after the change.
    ///
    /// # Errors
    /// Each item is an [`OperatorError`] if no process has this name, or if the store fails. The
    /// stream ends after an error.
    pub fn all_instances(
        &self,
        process: &str,
        query: InstanceQuery,
    ) -> impl Stream<Item = Result<Instance, OperatorError>> + Send + use<> {
        let (processes, process) = (self.clone(), process.to_owned());
        let state = (VecDeque::new(), Some(query));
        futures_util::stream::try_unfold(state, move |(mut page, mut next)| {
            let (processes, process) = (processes.clone(), process.clone());
            async move {
                if page.is_empty()
                    && let Some(query) = next.take()
                {
                    page = processes.instances(&process, &query).await?.into();
                    next = page
                        .back()
                        .filter(|_| page.len() >= query.limit)
                        .map(|last: &Instance| query.after(&last.id));
                }
                Ok(page.pop_front().map(|instance| (instance, (page, next))))
            }
        })
    }

    /// Requests that a suspended instance resume: its commands are sent again, and then its waiting
    /// events are handled. Returns `false` if the instance does not exist.
    ///
    /// # Errors
    /// Returns [`OperatorError`] if no process has this name, or if the store fails.
    pub async fn retry(&self, process: &str, instance: &str) -> Result<bool, OperatorError> {
        self.request(process, instance, OperatorAction::Retry).await
    }

    /// Requests that an instance end: its commands, timers and waiting events are dropped. Returns
    /// `false` if the instance does not exist.
    ///
    /// # Errors
    /// Returns [`OperatorError`] if no process has this name, or if the store fails.
    pub async fn end(&self, process: &str, instance: &str) -> Result<bool, OperatorError> {
        self.request(process, instance, OperatorAction::End).await
    }

    async fn request(
        &self,
        process: &str,
        instance: &str,
        action: OperatorAction,
    ) -> Result<bool, OperatorError> {
        let name = self.consumers.find(process)?;
        let request = Request { instance: instance.to_owned(), action };
        let exists = self.instances.request(&name, &request).await?;
        self.consumers.wake();
        Ok(exists)
    }
}
