//! A store that runs callbacks before and after appends and look-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fresh::{Store, fresh};
use async_trait::async_trait;
use cqrs::{
    CommandId, EventStore, Position, StreamName, Timestamp, Version,
    store::{
        Append, AppendError, Appended, CommandRecord, LogRead, Pages, StoreError, StreamInfo,
        StreamListing, StreamQuery, StreamRead,
    },
};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;

/// Is called with the number of appends so far and the store inside.
pub trait Callback:
    Fn(u64, Store) -> BoxFuture<'static, Result<(), AppendError>> + Send + Sync + 'static
{
}

impl<F> Callback for F where
    F: Fn(u64, Store) -> BoxFuture<'static, Result<(), AppendError>> + Send + Sync + 'static
{
}

/// Counts appends, reads of streams and the events they return. The error of a callback replaces the
/// store's answer.
#[derive(Clone)]
pub struct Intercepted {
    pub inner: Store,
    pub appends: Arc<AtomicU64>,
    pub reads: Arc<AtomicU64>,
    pub events: Arc<AtomicU64>,
    before: Arc<dyn Callback>,
    after: Arc<dyn Callback>,
    after_lookup: Arc<dyn Callback>,
}

impl std::fmt::Debug for Intercepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Intercepted")
    }
}

impl Intercepted {
    pub async fn new() -> Self {
        let quiet: Arc<dyn Callback> = Arc::new(|_, _| Box::pin(async { Ok(()) }));
        Self {
            inner: fresh().await,
            appends: Arc::default(),
            reads: Arc::default(),
            events: Arc::default(),
            before: Arc::clone(&quiet),
            after: Arc::clone(&quiet),
            after_lookup: quiet,
        }
    }

    pub fn before(mut self, callback: impl Callback) -> Self {
        self.before = Arc::new(callback);
        self
    }

    pub fn after(mut self, callback: impl Callback) -> Self {
        self.after = Arc::new(callback);
        self
    }

    /// Runs a callback after each look-up of a command, with the number of appends.
    pub fn after_lookup(mut self, callback: impl Callback) -> Self {
        self.after_lookup = Arc::new(callback);
        self
    }

    pub fn appends(&self) -> u64 {
        self.appends.load(Ordering::SeqCst)
    }

    pub fn events_read(&self) -> u64 {
        self.events.load(Ordering::SeqCst)
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl EventStore for Intercepted {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let nth = self.appends.fetch_add(1, Ordering::SeqCst);
        (self.before)(nth, self.inner.clone()).await?;
        let appended = self.inner.append(append).await?;
        (self.after)(nth, self.inner.clone()).await?;
        Ok(appended)
    }
    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let events = Arc::clone(&self.events);
        Box::pin(self.inner.read_stream(read).inspect_ok(move |page| {
            events.fetch_add(page.events.len() as u64, Ordering::SeqCst);
        }))
    }
    fn read_log(&self, read: LogRead) -> Pages<Position> {
        self.inner.read_log(read)
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.inner.head().await
    }
    async fn wait_for_head_after(&self, position: Position) {
        self.inner.wait_for_head_after(position).await;
    }
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.inner.stream_info(stream).await
    }
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.inner.list_streams(query).await
    }
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        let found = self.inner.find_command(id).await;
        (self.after_lookup)(self.appends(), self.inner.clone()).await.unwrap();
        found
    }
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.inner.forget_commands(recorded_before).await
    }
}
