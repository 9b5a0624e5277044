//! The event store.

mod append_in;
mod builder;
mod checkpoints;
mod import;
mod listener;
mod snapshots;
mod states;

use std::sync::Arc;

use async_trait::async_trait;
use cqrs_core::{
    CommandId, EventStore, Position, StreamName, Timestamp, Version,
    store::{
        Append, AppendError, Appended, CommandRecord, LogRead, Pages, StoreError, StreamInfo,
        StreamListing, StreamQuery, StreamRead,
    },
};

use crate::append::queue::Appends;
use crate::database::Database;
use crate::read::log::LogCursor;
use crate::read::newest::Newest;
use crate::read::pages::pages;
use crate::read::stream::StreamCursor;
use crate::{commands, list};
pub use builder::PgStoreBuilder;
pub use import::{ImportError, Imported};
use listener::Listener;

/// An event store in a schema of a Postgres database, with snapshots, states and the checkpoints of
/// subscriptions.
///
/// Cloning is cheap; clones share their connections. When the last clone is dropped, appends that
/// are queued are still stored; [`close`](Self::close) waits for them.
///
/// ```no_run
/// use cqrs_core::{EventStore, ExpectedVersion, StreamName, event::NewEvent, store::Append};
/// use cqrs_postgres::PgStore;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PgStore::connect("postgres://localhost/shop").await?;
/// let opened = NewEvent::json("shop.cart-opened", &serde_json::json!({ "customer": 7 }))?;
/// let append = Append::to(StreamName::new("cart-1")?, ExpectedVersion::NoStream, vec![opened]);
/// let appended = store.append(append).await?;
/// assert_eq!(appended.version().get(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PgStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Arc<Database>,
    newest: Arc<Newest>,
    appends: Appends,
    listener: Listener,
}

impl PgStore {
    /// Rejects new appends, waits until those already accepted are stored and answered, and closes
    /// the connections. Every later call fails with
    /// [`Closed`](cqrs_core::store::StoreErrorKind::Closed). A pool that the application shares
    /// stays open.
    ///
    /// # Cancel safety
    /// You may drop the future and call this again; what was queued is stored in any case.
    pub async fn close(&self) {
        self.inner.appends.close().await;
        self.inner.listener.stop();
        self.inner.database.connections.close();
    }

    /// What requests work with.
    fn database(&self) -> &Database {
        &self.inner.database
    }
}

#[async_trait]
impl EventStore for PgStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.inner.appends.append(append).await
    }

    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        let database = Arc::clone(&self.inner.database);
        pages(Arc::clone(&database), StreamCursor::new(database, read))
    }

    fn read_log(&self, read: LogRead) -> Pages<Position> {
        let database = Arc::clone(&self.inner.database);
        let newest = Arc::clone(&self.inner.newest);
        pages(Arc::clone(&database), LogCursor::new(database, newest, read))
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.database().read_head().await
    }

    async fn wait_for_head_after(&self, position: Position) {
        self.inner.listener.start(&self.inner.database);
        self.database().head.wait_after(position).await;
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        list::info(self.database(), stream).await
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        list::page(self.database(), &query).await
    }

    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        commands::find(self.database(), id).await
    }

    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        commands::forget(self.database(), recorded_before).await
    }
}
