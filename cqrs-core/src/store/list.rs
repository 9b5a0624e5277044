//! Listing streams.

use crate::{Direction, Position, StreamName, Timestamp, Version};

/// A summary of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The name of the stream.
    pub stream: StreamName,
    /// The version of the stream, which is the number of its events.
    pub version: Version,
    /// The position of the newest event.
    pub position: Position,
    /// The time its first event was recorded.
    pub created_at: Timestamp,
    /// The time its newest event was recorded.
    pub updated_at: Timestamp,
}

impl StreamInfo {
    /// Creates a summary, for implementations of [`EventStore`](super::EventStore).
    #[must_use]
    pub const fn new(
        stream: StreamName,
        version: Version,
        position: Position,
        created_at: Timestamp,
        updated_at: Timestamp,
    ) -> Self {
        Self { stream, version, position, created_at, updated_at }
    }
}

/// The sort order of listed streams.
///
/// ```
/// use cqrs_core::store::{Direction, StreamOrder, StreamQuery};
///
/// let busiest_first = StreamQuery::default().order(StreamOrder::Version, Direction::Backward);
/// assert_eq!(busiest_first.order, StreamOrder::Version);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamOrder {
    /// By name, compared as bytes.
    #[default]
    Name,
    /// By the number of events.
    Version,
    /// By the time of the first event.
    CreatedAt,
    /// By the position of the newest event, which is the order of last activity.
    Position,
}

/// Which streams to list, and in which order.
///
/// ```
/// use cqrs_core::store::{Direction, StreamOrder, StreamQuery};
///
/// // The second page of the carts that were active last.
/// let query = StreamQuery::default()
///     .search("cart-")
///     .order(StreamOrder::Position, Direction::Backward)
///     .page(2);
/// assert_eq!(query.offset(), 50);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamQuery {
    /// If not empty, only streams whose name contains this text are listed. The search is
    /// case-sensitive.
    pub search: String,
    /// The sort order. Streams that compare equal are sorted by name, ascending.
    pub order: StreamOrder,
    /// [`Direction::Forward`] sorts ascending, [`Direction::Backward`] descending.
    pub direction: Direction,
    /// The page to return, counted from 1.
    pub page: u64,
    /// The number of streams per page, 1 to 1,000. Default: 50 streams.
    pub page_size: u64,
}

impl Default for StreamQuery {
    fn default() -> Self {
        Self {
            search: String::new(),
            order: StreamOrder::Name,
            direction: Direction::Forward,
            page: 1,
            page_size: 50,
        }
    }
}

impl StreamQuery {
    /// Lists only streams whose name contains this text. No character has a special meaning.
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = text.into();
        self
    }

    /// Sets the sort order. Default: by name, ascending.
    #[must_use]
    pub const fn order(mut self, order: StreamOrder, direction: Direction) -> Self {
        self.order = order;
        self.direction = direction;
        self
    }

    /// Sets the page to return, counted from 1; 0 counts as 1.
    #[must_use]
    pub const fn page(mut self, page: u64) -> Self {
        self.page = if page == 0 { 1 } else { page };
        self
    }

    /// Sets the number of streams per page, clamped to 1 to 1,000.
    #[must_use]
    pub const fn page_size(mut self, streams: u64) -> Self {
        self.page_size = match streams {
            0 => 1,
            1..=1_000 => streams,
            _ => 1_000,
        };
        self
    }

    /// Returns the number of streams before the page.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.page.saturating_sub(1).saturating_mul(self.page_size)
    }
}

/// A page of streams, returned by [`EventStore::list_streams`](super::EventStore::list_streams).
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::{App, EventStore, store::StreamQuery};
/// use cqrs_memory::MemoryStore;
///
/// let app = App::new(MemoryStore::new());
/// app.dispatch(deposit("alice", 500)).await?;
///
/// let listing = app.store().list_streams(StreamQuery::default().search("account-")).await?;
/// assert_eq!(listing.total, 1);
/// assert_eq!(listing.streams[0].stream.as_str(), "account-alice");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamListing {
    /// The streams of the page. Empty after the last page.
    pub streams: Vec<StreamInfo>,
    /// The number of streams that match on all pages.
    pub total: u64,
}

impl StreamListing {
    /// Creates a page, for implementations of [`EventStore`](super::EventStore).
    #[must_use]
    pub const fn new(streams: Vec<StreamInfo>, total: u64) -> Self {
        Self { streams, total }
    }
}
