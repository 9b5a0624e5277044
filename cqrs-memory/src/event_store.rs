//! `EventStore` for [`MemoryStore`].

use async_trait::async_trait;
use cqrs_core::{
    CommandId, EventStore, Position, StreamName, Timestamp, Version,
    store::{
        Append, AppendError, Appended, CommandRecord, LogRead, Page, Pages, ReadError, StoreError,
        StreamInfo, StreamListing, StreamQuery, StreamRead,
    },
};
use futures_util::stream;
use tokio::task::coop::consume_budget;

use crate::append::Committed;
use crate::list::page_of;
use crate::log::Log;
use crate::read::{LogPages, StreamPages};
use crate::{MemoryStore, Step};

impl MemoryStore {
    fn store_append(&self, append: Append) -> Result<Appended, AppendError> {
        self.hooks().at(Step::BeforeAppend)?;
        // The hook runs without the lock, so the append is checked again below.
        if self.hooks().are_set() && self.contents().check(&append)?.is_none() {
            self.hooks().at(Step::DuringAppend)?;
        }
        let now = self.now();
        let Committed { appended, replaced } = {
            let mut contents = self.contents_mut();
            if let Some(first) = contents.check(&append)? {
                return Ok(first);
            }
            contents.commit(append, now)
        };
        drop(replaced);
        if appended.position() > Position::START {
            self.wake_head_waiters();
        }
        Ok(appended)
    }

    /// Returns the pages of a read as a stream, which ends after the first error.
    fn pages<At: Send + 'static>(
        &self,
        next: impl FnMut(&Log) -> Option<Result<Page<At>, ReadError>> + Send + 'static,
    ) -> Pages<At> {
        Box::pin(stream::unfold(Some((self.clone(), next)), |rest| async move {
            let (store, mut next) = rest?;
            consume_budget().await;
            let page = match store.hooks().at(Step::BeforeRead) {
                Ok(()) => next(&store.contents().log)?,
                Err(error) => Err(error.into()),
            };
            let rest = page.is_ok().then_some((store, next));
            Some((page, rest))
        }))
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        // The only await: dropping the future here stores nothing.
        consume_budget().await;
        let appended = self.store_append(append)?;
        self.hooks().at(Step::AfterAppend).map_err(AppendError::OutcomeUnknown)?;
        Ok(appended)
    }

    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        let mut rest = StreamPages::new(read);
        self.pages(move |log| rest.next(log))
    }

    fn read_log(&self, read: LogRead) -> Pages<Position> {
        let mut rest = LogPages::new(read);
        self.pages(move |log| rest.next(log).map(Ok))
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().log.head())
    }

    async fn wait_for_head_after(&self, position: Position) {
        loop {
            // Register before the check, so that no append in between is missed.
            let grown = self.grown();
            if self.contents().log.head() > position {
                return;
            }
            grown.await;
        }
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().log.info(stream))
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        let found = self.contents().log.search(&query.search);
        Ok(page_of(found, query))
    }

    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().commands.get(&id).cloned())
    }

    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.hooks().at(Step::BeforeForgetCommands)?;
        let forgotten = self.contents_mut().forget_commands(recorded_before);
        self.hooks().at(Step::AfterForgetCommands)?;
        Ok(forgotten)
    }
}
