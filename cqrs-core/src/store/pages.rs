//! The read requests that a store implementation receives, and the pages it returns.

use std::pin::Pin;

use futures_core::Stream;

use super::{Filter, ReadError};
use crate::{Position, RecordedEvent, StreamName, Version};

/// The default number of events per page.
pub const DEFAULT_PAGE_SIZE: usize = 1_000;

/// The direction of a read. This enum is exhaustive because a store must handle both directions.
///
/// ```
/// use cqrs_core::store::{Direction, LogRead};
///
/// assert_eq!(LogRead::forward().direction, Direction::Forward);
/// assert_eq!(LogRead::backward().direction, Direction::Backward);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// A request to read one stream by version, as a store receives it.
///
/// This is the argument of [`EventStore::read_stream`](super::EventStore::read_stream), for
/// implementations of stores and wrappers. To read events, use [`Read`](super::Read).
///
/// ```
/// use cqrs_core::{StreamName, store::{Direction, StreamRead}};
///
/// let newest = StreamRead::backward(StreamName::new("cart-7")?).limit(1);
/// assert_eq!((newest.direction, newest.limit), (Direction::Backward, Some(1)));
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamRead {
    /// The stream to read.
    pub stream: StreamName,
    /// The direction to read in.
    pub direction: Direction,
    /// The first version to return. `None` starts at the first event, or at the last event when
    /// reading backward.
    pub from: Option<Version>,
    /// Maximum number of events to return. Default: no limit.
    pub limit: Option<u64>,
    /// Maximum number of events per page, at least 1. Default: 1,000.
    pub page_size: usize,
}

impl StreamRead {
    /// Reads from the first event to the last.
    #[must_use]
    pub const fn forward(stream: StreamName) -> Self {
        Self {
            stream,
            direction: Direction::Forward,
            from: None,
            limit: None,
            page_size: DEFAULT_PAGE_SIZE,
        }
    }

    /// Reads from the last event to the first.
    #[must_use]
    pub fn backward(stream: StreamName) -> Self {
        Self { direction: Direction::Backward, ..Self::forward(stream) }
    }

    /// Starts at this version, inclusive.
    #[must_use]
    pub fn from(mut self, version: impl Into<Version>) -> Self {
        self.from = Some(version.into());
        self
    }

    /// Returns at most this many events.
    #[must_use]
    pub const fn limit(mut self, events: u64) -> Self {
        self.limit = Some(events);
        self
    }

    /// Returns at most this many events per page; 0 counts as 1.
    #[must_use]
    pub const fn page_size(mut self, events: usize) -> Self {
        self.page_size = if events == 0 { 1 } else { events };
        self
    }
}

/// A request to read the log by position, as a store receives it.
///
/// This is the argument of [`EventStore::read_log`](super::EventStore::read_log), for
/// implementations of stores and wrappers. To read events, use [`Read`](super::Read).
///
/// ```
/// use cqrs_core::store::{Filter, LogRead, Position};
///
/// let next = LogRead::forward().after(Position::new(41)).page_size(100);
/// assert_eq!(next.from, Some(Position::new(42)));
/// assert_eq!(next.filter, Filter::all());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogRead {
    /// The events to return.
    pub filter: Filter,
    /// The direction to read in.
    pub direction: Direction,
    /// The first position to read. `None` starts at the first event, or at the last event when
    /// reading backward.
    pub from: Option<Position>,
    /// Maximum number of events to return. Default: no limit.
    pub limit: Option<u64>,
    /// Maximum number of events per page, at least 1. Default: 1,000.
    pub page_size: usize,
}

impl LogRead {
    /// Reads from the first event to the last.
    #[must_use]
    pub fn forward() -> Self {
        Self {
            filter: Filter::all(),
            direction: Direction::Forward,
            from: None,
            limit: None,
            page_size: DEFAULT_PAGE_SIZE,
        }
    }

    /// Reads from the last event to the first.
    #[must_use]
    pub fn backward() -> Self {
        Self { direction: Direction::Backward, ..Self::forward() }
    }

    /// Returns only events that pass the filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Starts at this position, inclusive.
    #[must_use]
    pub fn from(mut self, position: impl Into<Position>) -> Self {
        self.from = Some(position.into());
        self
    }

    /// Starts at the position after this one, to continue a forward read.
    #[must_use]
    pub const fn after(mut self, position: Position) -> Self {
        self.from = Some(position.next());
        self
    }

    /// Returns at most this many events.
    #[must_use]
    pub const fn limit(mut self, events: u64) -> Self {
        self.limit = Some(events);
        self
    }

    /// Returns at most this many events per page; 0 counts as 1.
    #[must_use]
    pub const fn page_size(mut self, events: usize) -> Self {
        self.page_size = if events == 0 { 1 } else { events };
        self
    }
}

/// Consecutive events of a read, and how far the store has read.
///
/// `through` also advances when no event passed the filter, so that a reader of rare events does
/// not search the same part of the log again.
///
/// ```
/// use cqrs_core::store::{Page, Position};
///
/// // Nothing passed the filter up to position 500; continue after it.
/// let page = Page::new(Vec::new(), Position::new(500));
/// assert!(page.events.is_empty());
/// assert_eq!(page.through.next(), Position::new(501));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page<At> {
    /// The events, in the direction of the read.
    pub events: Vec<RecordedEvent>,
    /// The last version or position the store has read, inclusive. On the last page of a forward
    /// read of the log that did not end at its limit, this is the head at the time the read began.
    pub through: At,
}

impl<At> Page<At> {
    /// Creates a page.
    #[must_use]
    pub const fn new(events: Vec<RecordedEvent>, through: At) -> Self {
        Self { events, through }
    }
}

/// The pages of a read, fetched on demand: the store reads nothing until the stream is polled.
/// Dropping the stream frees its resources.
pub type Pages<At> = Pin<Box<dyn Stream<Item = Result<Page<At>, ReadError>> + Send>>;
