//! A projector whose type is forgotten.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::node::Shared;
use super::options::ProjectorOptions;
use super::partition::PartitionLease;
use super::projector::{ProjectError, Projector};
use super::read_store::ReadStore;
use super::status::{Control, Status};
use super::worker::Worker;
use crate::names::{ConsumerName, is_consumer_name};
use crate::panics::panic_message;
use crate::store::Filter;
use crate::subscription::Start;
use crate::{Event, RecordedEvent};

/// What a node needs of a projector.
#[async_trait]
pub(crate) trait Consumer<S: ReadStore>: Send + Sync {
    fn name(&self) -> &ConsumerName;
    fn version(&self) -> u32;
    fn options(&self) -> &ProjectorOptions;
    /// Whether the live generation is kept up to date by appends.
    fn inline(&self) -> bool;
    fn filter(&self) -> Filter;
    /// Where it begins when it is new.
    fn start(&self) -> Start;
    /// Whether what it leads to cannot be undone and done anew.
    fn is_process(&self) -> bool;
    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError>;
    /// Takes events in that are about to be appended.
    async fn take_in(
        &self,
        tx: &mut S::Transaction,
        events: &[RecordedEvent],
    ) -> Result<(), ProjectError>;
    /// A partition at work.
    fn worker(
        &self,
        shared: Arc<Shared<S>>,
        partitions: u32,
        status: Arc<Status>,
        control: watch::Receiver<Control>,
    ) -> BoxFuture<'static, ()>;
}

pub(crate) struct Registered<P> {
    name: ConsumerName,
    projector: Arc<P>,
    options: ProjectorOptions,
    inline: bool,
    start: Start,
    is_process: bool,
}

impl<P> Registered<P> {
    /// One whose effects last, so that it is never built anew.
    pub(crate) fn lasting<S>(projector: P, options: ProjectorOptions, start: Start) -> Self
    where
        S: ReadStore,
        P: Projector<S>,
    {
        Self { start, is_process: true, ..Self::new::<S>(projector, options, false) }
    }

    pub(super) fn new<S>(projector: P, options: ProjectorOptions, inline: bool) -> Self
    where
        S: ReadStore,
        P: Projector<S>,
    {
        const {
            assert!(
                is_consumer_name(P::NAME),
                "a projector's name has 1 to 32 lower-case letters, digits and underscores, a letter first"
            );
        }
        #[allow(clippy::expect_used)] // just checked, while compiling
        let name = ConsumerName::new(P::NAME).expect("a checked name");
        let (start, is_process) = (Start::Origin, false);
        Self { name, projector: Arc::new(projector), options, inline, start, is_process }
    }
}

#[async_trait]
impl<S: ReadStore, P: Projector<S>> Consumer<S> for Registered<P> {
    fn name(&self) -> &ConsumerName {
        &self.name
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

    fn is_process(&self) -> bool {
        self.is_process
    }

    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError> {
        match AssertUnwindSafe(self.projector.create(tx)).catch_unwind().await {
            Ok(created) => created,
            Err(panic) => Err(format!("panicked: {}", panic_message(&*panic)).into()),
        }
    }

    async fn take_in(
        &self,
        tx: &mut S::Transaction,
        events: &[RecordedEvent],
    ) -> Result<(), ProjectError> {
        let filter = Filter::types(P::Event::TYPES);
        let mine = events.iter().filter(|event| filter.matches(event));
        let mine = mine.map(RecordedEvent::decode).collect::<Result<Vec<_>, _>>()?;
        if mine.is_empty() {
            return Ok(());
        }
        match AssertUnwindSafe(self.projector.project_batch(tx, &mine)).catch_unwind().await {
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
        let projector = Arc::clone(&self.projector);
        let worker = Worker::new(shared, projector, self.options, partitions, status, control);
        worker.run().boxed()
    }
}

/// Something that works under the lease of a partition, beside its worker, and ends it when it ends.
type Work<S> = dyn Fn(Arc<Shared<S>>, PartitionLease, watch::Receiver<Control>) -> BoxFuture<'static, ()>
    + Send
    + Sync;

/// A projector with something beside it.
pub(crate) struct Beside<S: ReadStore, P> {
    registered: Registered<P>,
    work: Box<Work<S>>,
}

impl<S: ReadStore, P: Projector<S>> Beside<S, P> {
    pub(crate) fn new(
        registered: Registered<P>,
        work: impl Fn(
            Arc<Shared<S>>,
            PartitionLease,
            watch::Receiver<Control>,
        ) -> BoxFuture<'static, ()>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { registered, work: Box::new(work) }
    }

    fn runs(&self) -> &dyn Consumer<S> {
        &self.registered
    }
}

#[async_trait]
impl<S: ReadStore, P: Projector<S>> Consumer<S> for Beside<S, P> {
    fn name(&self) -> &ConsumerName {
        self.runs().name()
    }

    fn version(&self) -> u32 {
        self.runs().version()
    }

    fn options(&self) -> &ProjectorOptions {
        self.runs().options()
    }

    fn inline(&self) -> bool {
        self.runs().inline()
    }

    fn filter(&self) -> Filter {
        self.runs().filter()
    }

    fn start(&self) -> Start {
        self.runs().start()
    }

    fn is_process(&self) -> bool {
        self.runs().is_process()
    }

    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError> {
        self.runs().create(tx).await
    }

    async fn take_in(
        &self,
        tx: &mut S::Transaction,
        events: &[RecordedEvent],
    ) -> Result<(), ProjectError> {
        self.runs().take_in(tx, events).await
    }

    fn worker(
        &self,
        shared: Arc<Shared<S>>,
        partitions: u32,
        status: Arc<Status>,
        control: watch::Receiver<Control>,
    ) -> BoxFuture<'static, ()> {
        let lease = status.lease.clone();
        let work = (self.work)(Arc::clone(&shared), lease, control.clone());
        let worker = self.runs().worker(shared, partitions, status, control);
        async move {
            tokio::select! {
                () = worker => {}
                () = work => {}
            }
        }
        .boxed()
    }
}
