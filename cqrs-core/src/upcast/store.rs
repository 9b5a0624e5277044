//! The steps around a store.

use async_trait::async_trait;
use futures_util::StreamExt;

use super::Upcasters;
use crate::store::{
    Append, AppendError, Appended, CommandRecord, EventStore, Filter, LogRead, Page, Pages,
    ReadError, StoreError, StreamInfo, StreamListing, StreamQuery, StreamRead,
};
use crate::{CommandId, EventName, Position, StreamName, Timestamp, Version};

/// A store whose events are read at today's version. Writing goes through unchanged.
///
/// One stored event may become several with the same id, version and position, or none: a limit
/// counts stored events, and a page may come out empty.
#[derive(Clone, Debug)]
pub struct Upcasting<S> {
    store: S,
    upcasters: Upcasters,
}

impl<S: EventStore> Upcasting<S> {
    /// Puts the steps around a store.
    #[must_use]
    pub const fn new(store: S, upcasters: Upcasters) -> Self {
        Self { store, upcasters }
    }

    fn pages<At: Send + 'static>(&self, pages: Pages<At>, wanted: Vec<EventName>) -> Pages<At> {
        let upcasters = self.upcasters.clone();
        Box::pin(pages.map(move |page| upcasters.page(page?, &wanted)))
    }
}

impl Upcasters {
    fn page<At>(&self, page: Page<At>, wanted: &[EventName]) -> Result<Page<At>, ReadError> {
        if !page.events.iter().any(|event| self.concerns(event)) {
            return Ok(page);
        }
        let mut events = Vec::with_capacity(page.events.len());
        for event in page.events {
            if self.concerns(&event) {
                let parts = self.apply(&event)?.into_iter();
                events.extend(
                    parts.filter(|part| wanted.is_empty() || wanted.contains(&part.event.name)),
                );
            } else {
                events.push(event);
            }
        }
        Ok(Page::new(events, page.through))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore> EventStore for Upcasting<S> {
    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        self.pages(self.store.read_stream(read), Vec::new())
    }

    fn read_log(&self, mut read: LogRead) -> Pages<Position> {
        let wanted = std::mem::take(&mut read.filter.types);
        read.filter = Filter { types: self.upcasters.sources(&wanted), ..read.filter };
        self.pages(self.store.read_log(read), wanted)
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(append).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }
    async fn wait_for_head_after(&self, position: Position) {
        self.store.wait_for_head_after(position).await;
    }
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.store.stream_info(stream).await
    }
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.store.list_streams(query).await
    }
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.store.find_command(id).await
    }
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.store.forget_commands(recorded_before).await
    }
}
