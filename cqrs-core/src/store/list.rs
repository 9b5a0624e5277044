//! What a store can tell about its streams.

use crate::{Direction, Position, StreamName, Timestamp, Version};

/// One stream, without its events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub stream: StreamName,
    /// Its version, which is the number of its events.
    pub version: Version,
    /// The position of its newest event.
    pub position: Position,
    /// When its first event was recorded.
    pub created_at: Timestamp,
    /// When its newest event was recorded.
    pub updated_at: Timestamp,
}

impl StreamInfo {
    /// From its parts.
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

/// The order of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamOrder {
    /// By name, byte by byte.
    #[default]
    Name,
    /// By the number of events.
    Version,
    /// By the time of the first event.
    CreatedAt,
    /// By the position of the newest event: what was active last.
    Position,
}

/// A page of streams to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamQuery {
    /// Only names that contain this text, letter by letter; no condition when empty.
    pub search: String,
    /// In which order; ties are broken by name, ascending.
    pub order: StreamOrder,
    /// Ascending is forward.
    pub direction: Direction,
    /// Which page, from 1.
    pub page: u64,
    /// Streams a page, 1 to 1,000.
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
    /// Only names that contain this text. `%` and `_` are letters like others.
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = text.into();
        self
    }

    /// Sorts.
    #[must_use]
    pub const fn order(mut self, order: StreamOrder, direction: Direction) -> Self {
        self.order = order;
        self.direction = direction;
        self
    }

    /// Chooses a page, counted from 1; 0 counts as 1.
    #[must_use]
    pub const fn page(mut self, page: u64) -> Self {
        self.page = if page == 0 { 1 } else { page };
        self
    }

    /// Sets the size of a page; moved into 1 to 1,000.
    #[must_use]
    pub const fn page_size(mut self, streams: u64) -> Self {
        self.page_size = match streams {
            0 => 1,
            1..=1_000 => streams,
            _ => 1_000,
        };
        self
    }

    /// How many streams stand before the page.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.page.saturating_sub(1).saturating_mul(self.page_size)
    }
}

/// A page of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamListing {
    /// The streams of this page; none beyond the last page.
    pub streams: Vec<StreamInfo>,
    /// How many streams match in all.
    pub total: u64,
}

impl StreamListing {
    /// From its parts.
    #[must_use]
    pub const fn new(streams: Vec<StreamInfo>, total: u64) -> Self {
        Self { streams, total }
    }
}
