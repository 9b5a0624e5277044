//! Inline projections: read models that change in the transaction of the append.
//!
//! Invariant: before a projector takes in the events of an append it knows all that stand before
//! them. So it does not matter whether another process appended without it: it catches up in the
//! same transaction.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::builder::{ProjectionsBuilder, StartError};
use super::consumer::{Consumer, Registered};
use super::options::ProjectorOptions;
use super::projector::{ProjectError, Projector};
use super::read_store::ReadStore;
use super::{ConsumerState, Failure, Projections};
use crate::names::ConsumerName;
use crate::store::{
    Append, AppendError, Appended, CommandRecord, EventStore, LogRead, Pages, StreamInfo,
    StreamListing, StreamQuery, StreamRead,
};
use crate::{
    CommandId, Position, ReadError, RecordedEvent, StoreError, StreamName, Timestamp, Version,
};

/// How often it is looked whether the read models are built.
const LOOK: Duration = Duration::from_millis(250);

/// An event store whose appends can take projectors of a read store along.
#[async_trait]
pub trait AppendProjecting<R: ReadStore>: EventStore {
    /// Appends, and projects what was appended, in one transaction.
    ///
    /// # Behavior
    /// - The laws are those of [`append`](EventStore::append).
    /// - Nothing is projected when nothing was stored: an append without events, or a repeated one.
    /// - When a projector fails, nothing is stored.
    ///
    /// # Errors
    /// [`AppendError`].
    ///
    /// # Cancel safety
    /// As `append`.
    async fn append_projecting(
        &self,
        read: &R,
        append: Append,
        projection: &InlineProjection<R>,
    ) -> Result<Appended, AppendError>;
}

/// The projectors that go along with an append. Handed to stores.
pub struct InlineProjection<R: ReadStore> {
    projectors: Vec<Arc<dyn Consumer<R>>>,
    events: Arc<dyn EventStore>,
}

impl<R: ReadStore> std::fmt::Debug for InlineProjection<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.projectors.iter().map(|projector| projector.name());
        f.debug_list().entries(names).finish()
    }
}

impl<R: ReadStore> InlineProjection<R> {
    /// Takes in events at the positions they are about to have, before anybody can see them.
    ///
    /// # Errors
    /// [`AppendError::Projection`] when a projector refuses, [`AppendError::Store`] when a store
    /// is in failure; either way the transaction must be given up.
    pub async fn take_in(
        &self,
        read: &R,
        tx: &mut R::Transaction,
        events: &[RecordedEvent],
    ) -> Result<(), AppendError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let before = Position::new(first.position.get().saturating_sub(1));
        for projector in &self.projectors {
            let name = projector.name();
            let Some(known) = read.enter(tx, name, projector.version()).await? else {
                return Err(AppendError::Projection {
                    projector: name.clone(),
                    source: "its read model is not there at this version".into(),
                });
            };
            if known < before {
                self.catch_up(read, tx, &**projector, known, before).await?;
            }
            let taken = projector.take_in(tx, events).await;
            taken.map_err(|error| failed(read, name, error))?;
            read.advance(tx, name, last.position).await?;
        }
        Ok(())
    }

    /// Takes in what others have appended without this projector.
    async fn catch_up(
        &self,
        read: &R,
        tx: &mut R::Transaction,
        projector: &dyn Consumer<R>,
        known: Position,
        before: Position,
    ) -> Result<(), AppendError> {
        let name = projector.name();
        let unreadable = |error| match error {
            ReadError::Store(error) => AppendError::Store(error),
            other => failed(read, name, other.into()),
        };
        let log = LogRead::forward().filter(projector.filter()).after(known);
        let mut pages = self.events.read_log(log);
        while let Some(page) = pages.next().await {
            let mut page = page.map_err(unreadable)?;
            page.events.retain(|event| event.position <= before);
            let taken = projector.take_in(tx, &page.events).await;
            taken.map_err(|error| failed(read, name, error))?;
            if page.through >= before {
                break;
            }
        }
        Ok(())
    }
}

fn failed<R: ReadStore>(read: &R, name: &ConsumerName, error: ProjectError) -> AppendError {
    if read.is_transient(&*error) {
        let kind = crate::StoreErrorKind::Unavailable;
        return StoreError::new(kind, error.to_string()).with_source(error).into();
    }
    AppendError::Projection { projector: name.clone(), source: error }
}

/// An event store whose read models are never behind: each append changes them too, or neither
/// happens. For read models that a command's answer depends on; everything else is better served
/// by [`Projections`], because here a slow or failing projector is a slow or failing command.
///
/// All who append have to do it through an inline store with the same projectors. Whoever does
/// not leaves the read models behind until the next append that does.
///
/// ```
/// # use cqrs_core::{App, Projector, projection::{AppendProjecting, InlineStore, OpenError, ReadStore}};
/// # async fn example<S, R>(store: S, read: R, accounts: impl Projector<R>) -> Result<(), OpenError>
/// # where R: ReadStore, S: AppendProjecting<R> + Clone {
/// let store = InlineStore::builder(store, read).projector(accounts).open().await?;
/// let app = App::new(store);
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

/// Why an inline store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its projectors did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A read model could not be built.
    #[error("the read model of `{projector}` was not built: {}", .failure.error)]
    Build {
        /// Whose.
        projector: ConsumerName,
        /// Where it stands still, and why.
        failure: Failure,
    },
    /// Readers see a later version of a read model than this program knows.
    #[error("the read model of `{projector}` is of a later version")]
    Superseded {
        /// Whose.
        projector: ConsumerName,
    },
    /// A store did not answer.
    #[error("a store failed")]
    Store(#[source] StoreError),
}

/// Collects the projectors of an [`InlineStore`].
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
    /// Over an event store and a read store that share a transaction: for Postgres two schemas of
    /// one database.
    pub fn builder(store: S, read: R) -> InlineStoreBuilder<S, R> {
        InlineStoreBuilder { store, read, projectors: Vec::new() }
    }

    /// The projectors, to ask for their health or to rebuild one.
    #[must_use]
    pub fn projections(&self) -> &Projections {
        &self.shared.projections
    }
}

impl<S: AppendProjecting<R> + Clone, R: ReadStore> InlineStoreBuilder<S, R> {
    /// Adds a projector. They run in this order.
    #[must_use]
    pub fn projector(mut self, projector: impl Projector<R>) -> Self {
        let options = ProjectorOptions::new();
        self.projectors.push(Arc::new(Registered::new::<R>(projector, options, true)));
        self
    }

    /// Builds what is missing and returns when all is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(self) -> Result<InlineStore<S, R>, OpenError> {
        let events: Arc<dyn EventStore> = Arc::new(self.store.clone());
        let builder = ProjectionsBuilder::new(Arc::clone(&events), self.read.clone());
        let registered = self.projectors.iter().cloned();
        let projections = registered.fold(builder, ProjectionsBuilder::registered).start().await?;
        for projector in &self.projectors {
            until_built(&projections, projector.name()).await?;
        }
        let projection = InlineProjection { projectors: self.projectors, events };
        let shared = Inner { store: self.store, projection, read: self.read, projections };
        Ok(InlineStore { shared: Arc::new(shared) })
    }
}

async fn until_built(projections: &Projections, name: &ConsumerName) -> Result<(), OpenError> {
    let failure = |error: super::OperatorError| match error {
        super::OperatorError::Store(error)
        | super::OperatorError::Read(ReadError::Store(error)) => OpenError::Store(error),
        other => {
            OpenError::Store(StoreError::new(crate::StoreErrorKind::Internal, other.to_string()))
        }
    };
    loop {
        if projections.wait_until_built(name.as_str(), LOOK).await.map_err(failure)? {
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
