//! Erases the types of projectors, so that a node can run any number of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::shared::Shared;
use super::status::{Control, Status};
use crate::names::{ConsumerName, is_consumer_name};
use crate::panics::panic_message;
use crate::projection::error::{ConsumerKind, ProjectError};
use crate::projection::options::ProjectorOptions;
use crate::projection::projector::Projector;
use crate::projection::store::{PartitionLease, ReadStore};
use crate::projection::worker::Worker;
use crate::store::Filter;
use crate::subscription::Start;
use crate::{Event, InvalidUpcasters, RecordedEvent, Upcasters};

/// What a node needs to know and do about a consumer.
#[async_trait]
pub(crate) trait Consumer<S: ReadStore>: Send + Sync {
    fn name(&self) -> &ConsumerName;
    fn kind(&self) -> ConsumerKind;
    fn version(&self) -> u32;
    fn options(&self) -> &ProjectorOptions;
    /// Returns `true` if appends keep the live generation up to date.
    fn inline(&self) -> bool;
    fn filter(&self) -> Filter;
    /// Returns where it starts if it is new.
    fn start(&self) -> Start;
    /// Checks that earlier versions of its events can be read.
    fn check(&self, upcasters: &Upcasters) -> Result<(), InvalidUpcasters>;
    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError>;
    /// Applies events that are about to be appended.
    async fn project_inline(
        &self,
        tx: &mut S::Transaction,
        events: &[RecordedEvent],
    ) -> Result<(), ProjectError>;
    /// Returns the work of a partition.
    fn worker(
        &self,
        shared: Arc<Shared<S>>,
        partitions: u32,
        status: Arc<Status>,
        control: watch::Receiver<Control>,
    ) -> BoxFuture<'static, ()>;
}

/// A task that runs alongside the worker of a partition, under its lease.
type Task<S> = dyn Fn(Arc<Shared<S>>, PartitionLease, watch::Receiver<Control>) -> BoxFuture<'static, ()>
    + Send
    + Sync;

/// A projector with its options, as a [`Consumer`].
pub(crate) struct Registered<S: ReadStore, P> {
    name: ConsumerName,
    kind: ConsumerKind,
    projector: Arc<P>,
    options: ProjectorOptions,
    inline: bool,
    start: Start,
    task: Option<Box<Task<S>>>,
}

impl<S: ReadStore, P: Projector<S>> Registered<S, P> {
    pub(in crate::projection) fn projector(projector: P, options: ProjectorOptions) -> Self {
        Self::new(ConsumerKind::Projector, projector, options)
    }

    /// A projector whose live generation is kept up to date by appends.
    pub(in crate::projection) fn inline(projector: P, options: ProjectorOptions) -> Self {
        Self { inline: true, ..Self::projector(projector, options) }
    }

    /// A process or handler. Its effects last, so it is never rebuilt.
    pub(crate) fn reaction(
        kind: ConsumerKind,
        projector: P,
        options: ProjectorOptions,
        start: Start,
    ) -> Self {
        Self { start, ..Self::new(kind, projector, options) }
    }

    /// Runs a task alongside the worker of each partition. If one of the two ends, the other is
    /// dropped.
    pub(crate) fn with_task(
        self,
        task: impl Fn(
            Arc<Shared<S>>,
            PartitionLease,
            watch::Receiver<Control>,
        ) -> BoxFuture<'static, ()>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { task: Some(Box::new(task)), ..self }
    }

    fn new(kind: ConsumerKind, projector: P, options: ProjectorOptions) -> Self {
        const {
            assert!(
                is_consumer_name(P::NAME),
                "a NAME has 1 to 32 lower-case letters, digits and underscores, and starts with a letter"
            );
        }
        #[allow(clippy::expect_used)] // checked above, at compile time
        let name = ConsumerName::new(P::NAME).expect("a valid name");
        let (projector, inline, start) = (Arc::new(projector), false, Start::Origin);
        Self { name, kind, projector, options, inline, start, task: None }
    }
}

#[async_trait]
impl<S: ReadStore, P: Projector<S>> Consumer<S> for Registered<S, P> {
    fn name(&self) -> &ConsumerName {
        &self.name
    }

    fn kind(&self) -> ConsumerKind {
        self.kind
    }

    fn version(&self) -> u32 {
        P::VERSION
    }

    fn options(&self) -> &ProjectorOptions {
        &self.options
    }

    fn inline(&self) -> bool {
        self.inline
    }

    fn filter(&self) -> Filter {
        Filter::types(P::Event::TYPES)
    }

    fn start(&self) -> Start {
        self.start
    }

    fn check(&self, upcasters: &Upcasters) -> Result<(), InvalidUpcasters> {
        upcasters.check::<P::Event>()
    }

    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError> {
        match AssertUnwindSafe(self.projector.create(tx)).catch_unwind().await {
            Ok(created) => created,
            Err(panic) => Err(format!("panicked: {}", panic_message(&*panic)).into()),
        }
    }

    async fn project_inline(
        &self,
        tx: &mut S::Transaction,
        events: &[RecordedEvent],
    ) -> Result<(), ProjectError> {
        let filter = Filter::types(P::Event::TYPES);
        let events = events.iter().filter(|event| filter.matches(event));
        let events = events.map(RecordedEvent::decode).collect::<Result<Vec<_>, _>>()?;
        if events.is_empty() {
            return Ok(());
        }
        match AssertUnwindSafe(self.projector.project_batch(tx, &events)).catch_unwind().await {
            Ok(projected) => projected,
            Err(panic) => Err(format!("panicked: {}", panic_message(&*panic)).into()),
        }
    }

    fn worker(
        &self,
        shared: Arc<Shared<S>>,
        partitions: u32,
        status: Arc<Status>,
        control: watch::Receiver<Control>,
    ) -> BoxFuture<'static, ()> {
        let task = self
            .task
            .as_ref()
            .map(|task| task(Arc::clone(&shared), status.lease.clone(), control.clone()));
        let projector = Arc::clone(&self.projector);
        let worker = Worker::new(shared, projector, self.options, partitions, status, control);
        let Some(task) = task else { return worker.run().boxed() };
        async move {
            tokio::select! {
                () = worker.run() => {}
                () = task => {}
            }
        }
        .boxed()
    }
}
