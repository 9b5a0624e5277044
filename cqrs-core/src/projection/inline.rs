//! Read models that change in the transaction of the append.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::builder::ProjectionsBuilder;
use super::error::{ConsumerKind, OperatorError, StartError};
use super::health::ConsumerState;
use super::options::ProjectorOptions;
use super::projections::Projections;
use super::projector::Projector;
use super::runtime::consumer::{Consumer, Registered};
use super::store::{AppendProjecting, ConsumerName, Failure, InlineProjection, ReadStore};
use crate::store::{
    Append, AppendError, Appended, CommandRecord, EventStore, LogRead, Pages, StreamInfo,
    StreamListing, StreamQuery, StreamRead,
};
use crate::{
    CommandId, Position, ReadError, StoreError, StoreErrorKind, StreamName, Timestamp, Version,
};

/// How often to check whether the read models are built.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// An event store that updates read models in the transaction of each append, so that they never
/// lag: an append changes the log and the read models, or neither.
///
/// Use it for read models that a command's answer depends on. For all others
/// [`Projections`] are better, because a slow or failing inline projector slows down or fails
/// commands.
///
/// Every program that appends must use an inline store with the same projectors. If one does not,
/// the read models lag until the next append through an inline store.
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
/// let popular = read.view::<Counts>("popular")?;
/// let store = InlineStore::builder(store, read).projector(Popular).open().await?;
/// let app = App::new(store.clone());
///
/// let (cart, tea) = (StreamName::new("cart-1")?, Added { product: "tea".into() });
/// store.append_events(&cart, ExpectedVersion::Any, &[tea]).await?;
/// assert_eq!(popular.get().unwrap().0["tea"], 1); // without waiting
/// # Ok(()) }
/// ```
pub struct InlineStore<S, R: ReadStore> {
    shared: Arc<Inner<S, R>>,
}

struct Inner<S, R: ReadStore> {
    store: S,
    projection: InlineProjection<R>,
    read: R,
    projections: Projections,
}

impl<S, R: ReadStore> Clone for InlineStore<S, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: std::fmt::Debug, R: ReadStore> std::fmt::Debug for InlineStore<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InlineStore")
            .field("store", &self.shared.store)
            .field("projectors", &self.shared.projection)
            .finish()
    }
}

/// Why an inline store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its projectors could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A read model could not be built, because its projector fails on an event.
    #[error("read model `{projector}` cannot be built: {}", .failure.error)]
    Build {
        /// The name of the projector.
        projector: ConsumerName,
        /// The failure.
        failure: Failure,
    },
    /// The live read model has a later version than the projector of this program.
    #[error("read model `{projector}` has a later version than this program")]
    Superseded {
        /// The name of the projector.
        projector: ConsumerName,
    },
    /// The event store or the read store failed.
    #[error("store failed while read models were being built")]
    Store(#[source] StoreError),
}

/// Configures an [`InlineStore`]; [`open`](Self::open) builds its read models.
pub struct InlineStoreBuilder<S, R: ReadStore> {
    store: S,
    read: R,
    projectors: Vec<Arc<dyn Consumer<R>>>,
}

impl<S: std::fmt::Debug, R: ReadStore> std::fmt::Debug for InlineStoreBuilder<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InlineStoreBuilder").field("store", &self.store).finish_non_exhaustive()
    }
}

impl<S: AppendProjecting<R> + Clone, R: ReadStore> InlineStore<S, R> {
    /// Configures an inline store over an event store and a read store that share transactions.
    /// For Postgres these are two schemas of one database.
    pub fn builder(store: S, read: R) -> InlineStoreBuilder<S, R> {
        InlineStoreBuilder { store, read, projectors: Vec::new() }
    }

    /// Returns the handle to the projectors, which reports their health and rebuilds them.
    #[must_use]
    pub fn projections(&self) -> &Projections {
        &self.shared.projections
    }
}

impl<S: AppendProjecting<R> + Clone, R: ReadStore> InlineStoreBuilder<S, R> {
    /// Adds a projector. Projectors run in the order in which they were added.
    #[must_use]
    pub fn projector(mut self, projector: impl Projector<R>) -> Self {
        let options = ProjectorOptions::new();
        self.projectors.push(Arc::new(Registered::<R, _>::inline(projector, options)));
        self
    }

    /// Builds the read models that are missing or have an earlier version, and returns when all
    /// of them are live.
    ///
    /// # Errors
    /// [`OpenError`] if a projector cannot start or build its read model, or if a store fails.
    pub async fn open(self) -> Result<InlineStore<S, R>, OpenError> {
        let events: Arc<dyn EventStore> = Arc::new(self.store.clone());
        let builder = ProjectionsBuilder::new(
            Arc::clone(&events),
            self.read.clone(),
            ConsumerKind::Projector,
        );
        let registered = self.projectors.iter().cloned();
        let projections = registered.fold(builder, ProjectionsBuilder::consumer).start().await?;
        for projector in &self.projectors {
            wait_until_built(&projections, projector.name()).await?;
        }
        let projection = InlineProjection::new(self.projectors, events);
        let shared = Inner { store: self.store, projection, read: self.read, projections };
        Ok(InlineStore { shared: Arc::new(shared) })
    }
}

async fn wait_until_built(projections: &Projections, name: &ConsumerName) -> Result<(), OpenError> {
    let failure = |error: OperatorError| match error {
        OperatorError::Store(error) | OperatorError::Read(ReadError::Store(error)) => {
            OpenError::Store(error)
        }
        other => OpenError::Store(StoreError::new(StoreErrorKind::Internal, other.to_string())),
    };
    loop {
        if projections.wait_until_built(name.as_str(), POLL_INTERVAL).await.map_err(failure)? {
            return Ok(());
        }
        let healths = projections.health().await.map_err(failure)?;
        let Some(health) = healths.into_iter().find(|health| health.name == *name) else {
            continue;
        };
        let projector = name.clone();
        match (health.state, health.failure) {
            (ConsumerState::Superseded, _) => return Err(OpenError::Superseded { projector }),
            (ConsumerState::Stopped, Some(failure)) => {
                return Err(OpenError::Build { projector, failure });
            }
            _ => {}
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: AppendProjecting<R> + Clone, R: ReadStore> EventStore for InlineStore<S, R> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let Inner { store, projection, read, .. } = &*self.shared;
        store.append_projecting(read, append, projection).await
    }
    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        self.shared.store.read_stream(read)
    }
    fn read_log(&self, read: LogRead) -> Pages<Position> {
        self.shared.store.read_log(read)
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.shared.store.head().await
    }
    async fn wait_for_head_after(&self, position: Position) {
        self.shared.store.wait_for_head_after(position).await;
    }
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.shared.store.stream_info(stream).await
    }
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.shared.store.list_streams(query).await
    }
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.shared.store.find_command(id).await
    }
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.shared.store.forget_commands(recorded_before).await
    }
}
