//! A store wrapper that applies upcasters.

use async_trait::async_trait;
use futures_util::StreamExt;

use super::Upcasters;
use crate::store::{
    Append, AppendError, Appended, CommandRecord, EventStore, Filter, LogRead, Page, Pages,
    ReadError, StoreError, StreamInfo, StreamListing, StreamQuery, StreamRead,
};
use crate::{CommandId, EventName, Position, StreamName, Timestamp, Version};

/// A store whose events are converted to their current version on every read. Appends are passed
/// through unchanged.
///
/// One stored event may become several with the same id, version and position, or none. A limit
/// counts stored events, so a page may be empty.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::store::{Append, Read};
/// use cqrs_core::upcast::Upcasting;
/// use cqrs_core::{EventStore, EventStoreExt, ExpectedVersion, StreamName, Upcasters, event::NewEvent};
/// use cqrs_memory::MemoryStore;
///
/// let upcasters = Upcasters::builder()
///     .replace("old-name", 1, &[("new-name", 1)], |json, _| Ok(vec![json]))
///     .build()?;
/// let store = Upcasting::new(MemoryStore::new(), upcasters);
///
/// let event = NewEvent::json("old-name", "abc")?;
/// store.append(Append::to(StreamName::new("cart-1")?, ExpectedVersion::Any, vec![event])).await?;
/// let events = store.read(Read::all()).await?.collect().await?;
/// assert_eq!(events[0].event.name.as_str(), "new-name");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Upcasting<S> {
    store: S,
    upcasters: Upcasters,
}

impl<S: EventStore> Upcasting<S> {
    /// Wraps a store.
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
