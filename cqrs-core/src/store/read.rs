//! The request that a user passes to read events.

use std::marker::PhantomData;

use super::Filter;
use super::request::{Request, Start};
use crate::{Category, Event, Position, StreamName, Version};

/// Marks a [`Read`] of the log: of all streams, or of the events that pass a filter.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WholeLog;

/// Marks a [`Read`] of one stream, which can start at a version.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OneStream;

/// A request to read events: of the log, of a category or of one stream, forward or backward.
///
/// Pass it to [`EventStoreExt::read`](super::EventStoreExt::read) for stored events, or to
/// [`read_as`](super::EventStoreExt::read_as) for decoded ones. A read returns the events that
/// were stored when it began and never waits for new ones;
/// [`subscribe`](super::EventStoreExt::subscribe) does.
///
/// Conditions add up: an event is returned if it meets all of them.
/// [`from_version`](Self::from_version) and [`must_exist`](Self::must_exist) apply to one stream,
/// so only a `Read<OneStream>`, made by [`Read::stream`], has them. Use `From` to convert it to a
/// plain `Read`, for example to hold either in one variable.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
/// # #[event(crate = cqrs_core)]
/// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
/// # use cqrs_core::ExpectedVersion;
/// # let store = cqrs_memory::MemoryStore::new();
/// # let cart = cqrs_core::StreamName::new("cart-7")?;
/// # let added = [CartEvent::Added("abc".into()), CartEvent::Added("xyz".into())];
/// # store.append_events(&cart, ExpectedVersion::Any, &added).await?;
/// use cqrs_core::{EventStoreExt, StreamName, store::{Read, ReadError}};
///
/// // The whole log, oldest first.
/// let log = store.read(Read::all()).await?.collect().await?;
/// assert_eq!(log.len(), 2);
///
/// // The newest event of a stream.
/// let newest = store.read(Read::stream(cart).backward().limit(1)).await?.collect().await?;
/// assert_eq!(newest[0].version.get(), 2);
///
/// // A stream without events is an empty read, unless it must exist.
/// let none = StreamName::new("cart-8")?;
/// assert!(store.read(Read::stream(none.clone())).await?.collect().await?.is_empty());
/// let failed = store.read(Read::stream(none).must_exist()).await;
/// assert!(matches!(failed, Err(ReadError::StreamNotFound { .. })));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is read until the request is passed to `EventStoreExt::read`"]
pub struct Read<Scope = WholeLog> {
    request: Request,
    scope: PhantomData<fn() -> Scope>,
}

impl Read {
    /// Reads all events of the log.
    pub fn all() -> Self {
        Self::filter(Filter::all())
    }

    /// Reads the events that pass a filter.
    pub const fn filter(filter: Filter) -> Self {
        Self { request: Request::new(filter), scope: PhantomData }
    }

    /// Reads the events of all streams of a category.
    pub fn category(category: Category) -> Self {
        Self::filter(Filter::category(category))
    }

    /// Reads the events of one stream.
    pub fn stream(stream: StreamName) -> Read<OneStream> {
        Read { request: Request::new(Filter::stream(stream)), scope: PhantomData }
    }

    pub(super) fn into_request(self) -> Request {
        self.request
    }
}

impl<Scope> Read<Scope> {
    /// Returns the newest event first. Default: the oldest event first.
    pub const fn backward(mut self) -> Self {
        self.request.backward = true;
        self
    }

    /// Starts at this position, inclusive: returns events at or after it, or at or before it when
    /// reading backward. Replaces an earlier [`after`](Self::after).
    pub fn from_position(mut self, position: impl Into<Position>) -> Self {
        self.request.start = Start::At(position.into());
        self
    }

    /// Continues after this position in the direction of the read, exclusive: returns events at
    /// higher positions, or at lower ones when reading backward. Replaces an earlier
    /// [`from_position`](Self::from_position).
    pub fn after(mut self, position: impl Into<Position>) -> Self {
        self.request.start = Start::After(position.into());
        self
    }

    /// Returns only events of the types of `E`. Call it again to add the types of another
    /// [`Event`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
    /// # #[event(crate = cqrs_core)]
    /// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
    /// # use cqrs_core::{ExpectedVersion, StreamName};
    /// # let store = cqrs_memory::MemoryStore::new();
    /// # let cart = StreamName::new("cart-7")?;
    /// # store.append_events(&cart, ExpectedVersion::Any, &[CartEvent::Added("abc".into())]).await?;
    /// use cqrs_core::{EventStoreExt, store::Read};
    ///
    /// // Skips events of other types.
    /// let read = Read::all().of::<CartEvent>();
    /// let events = store.read_as::<CartEvent>(read).await?.collect().await?;
    /// assert_eq!(events[0].event, CartEvent::Added("abc".into()));
    /// # Ok(()) }
    /// ```
    pub fn of<E: Event>(mut self) -> Self {
        self.request.filter.types.extend(E::TYPES.iter().map(|known| known.event_name()));
        self
    }

    /// Returns at most this many events. Default: no limit.
    ///
    /// The limit counts stored events: if an [upcaster](crate::upcast) turns one into several, all
    /// of them are returned.
    pub const fn limit(mut self, events: u64) -> Self {
        self.request.limit = Some(events);
        self
    }

    /// Fetches at most this many events at a time, which bounds the memory of a read that is not
    /// collected; 0 counts as 1. Default: 1,000 events.
    pub const fn page_size(mut self, events: usize) -> Self {
        self.request.page_size = if events == 0 { 1 } else { events };
        self
    }
}

impl Read<OneStream> {
    /// Starts at this version, inclusive: returns events at or after it, or at or before it when
    /// reading backward.
    pub fn from_version(mut self, version: impl Into<Version>) -> Self {
        self.request.from_version = Some(version.into());
        self
    }

    /// Fails with [`ReadError::StreamNotFound`](super::ReadError::StreamNotFound) if the stream
    /// has no events at all. By default, such a read returns no events.
    pub const fn must_exist(mut self) -> Self {
        self.request.must_exist = true;
        self
    }
}

impl From<Read<OneStream>> for Read {
    fn from(read: Read<OneStream>) -> Self {
        Self { request: read.request, scope: PhantomData }
    }
}
