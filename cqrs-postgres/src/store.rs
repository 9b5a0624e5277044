//! The store as others see it.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use cqrs_core::{
    CommandId, EventStore, Position, StreamName, Timestamp, Version,
    app::Clock,
    store::{
        Append, AppendError, Appended, CommandRecord, LogRead, Pages, StoreError, StreamInfo,
        StreamListing, StreamQuery, StreamRead,
    },
};
use sqlx::Row;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinHandle};

use crate::append::writer::Job;
use crate::builder::PgStoreBuilder;
use crate::connections::{Connections, arguments};
use crate::epoch::Epoch;
use crate::error::store_error;
use crate::head::{self, Head};
use crate::names::Names;
use crate::newest::Newest;
use crate::numbers::unsigned;
use crate::read::log::LogCursor;
use crate::read::pages;
use crate::read::stream::StreamCursor;
use crate::schema::Schema;
use crate::sql::Sql;
use crate::{commands, list};

/// A store of events, snapshots and states in a schema of a Postgres database.
///
/// Cloning is cheap; clones share their connections. When the last one is dropped, what was
/// queued is still stored; [`close`](Self::close) waits for that.
#[derive(Clone, Debug)]
pub struct PgStore {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) schema: Schema,
    pub(crate) sql: Arc<Sql>,
    pub(crate) epoch: Epoch,
    pub(crate) names: Arc<Names>,
    pub(crate) head: Arc<Head>,
    pub(crate) newest: Newest,
    pub(crate) connections: Connections,
    pub(crate) queue: mpsc::Sender<Job>,
    pub(crate) writer: Mutex<Option<JoinHandle<()>>>,
    /// Tells the writer to take nothing new.
    pub(crate) closing: tokio::sync::watch::Sender<bool>,
    /// The time of storing, if it is not the server's.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// How to listen, if that is wanted, and who does once somebody waits.
    pub(crate) listen: Option<PgConnectOptions>,
    pub(crate) listener: OnceLock<AbortHandle>,
}

impl PgStore {
    /// Connects to a store whose tables are there and up to date, in the schema `cqrs`.
    ///
    /// # Errors
    /// [`SchemaMissing`](cqrs_core::store::StoreErrorKind::SchemaMissing) or
    /// [`SchemaOutdated`](cqrs_core::store::StoreErrorKind::SchemaOutdated): run
    /// [`migrate`](PgStoreBuilder::migrate). [`StoreError`] of other kinds when the database
    /// cannot be reached or refuses.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().url(url).connect().await
    }

    /// A store to be configured. Starts from the variables `PGHOST`, `PGPORT`, `PGUSER`,
    /// `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`.
    pub fn builder() -> PgStoreBuilder {
        PgStoreBuilder::new()
    }

    /// Refuses new appends, waits until those already accepted are stored and answered, and
    /// closes the connections. Everything called afterwards fails with
    /// [`Closed`](cqrs_core::store::StoreErrorKind::Closed).
    ///
    /// # Cancel safety
    /// Safe to drop and call again; what was queued is stored all the same.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        let mut writer = self.shared.writer.lock().await;
        if let Some(running) = writer.as_mut() {
            // It ends by itself; a panic in it was answered to those who waited.
            let _ = running.await;
            *writer = None;
        }
        if let Some(listener) = self.shared.listener.get() {
            listener.abort();
        }
        self.shared.connections.close();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }
}

impl Shared {
    /// The head as the database tells it.
    pub(crate) async fn ask_head(&self) -> Result<Position, StoreError> {
        let rows = self.connections.fetch(&self.sql.head, arguments![]).await?;
        let head: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(store_error)?;
        let head = Position::new(unsigned(head));
        self.head.raise(head);
        Ok(head)
    }

    /// The time of storing, if it is not the server's.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// Starts to listen when somebody first waits.
    fn be_told(self: &Arc<Self>) {
        let Some(options) = &self.listen else { return };
        self.listener.get_or_init(|| {
            let store = Arc::downgrade(self);
            let channel = self.schema.channel();
            tokio::spawn(head::listen(store, options.clone(), channel)).abort_handle()
        });
    }
}

#[async_trait]
impl EventStore for PgStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.append_grouped(append).await
    }

    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        let shared = Arc::clone(&self.shared);
        pages(Arc::clone(&shared), StreamCursor::new(shared, read))
    }

    fn read_log(&self, read: LogRead) -> Pages<Position> {
        let shared = Arc::clone(&self.shared);
        pages(Arc::clone(&shared), LogCursor::new(shared, read))
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.shared.ask_head().await
    }

    async fn wait_for_head_after(&self, position: Position) {
        self.shared.be_told();
        self.shared.head.beyond(position).await;
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        list::info(&self.shared, stream).await
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        list::page(&self.shared, &query).await
    }

    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        commands::find(&self.shared, id).await
    }

    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        commands::forget(&self.shared, recorded_before).await
    }
}
