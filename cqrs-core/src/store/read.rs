//! Reads as values, and the pages they answer with.

use std::pin::Pin;

use futures_core::Stream;

use super::ReadError;
use crate::{
    Category, CorrelationId, EventName, EventType, Position, RecordedEvent, StreamName, Version,
};

/// Events in a page unless a read says otherwise.
pub const DEFAULT_PAGE_SIZE: usize = 1_000;

/// Which way to read. Exhaustive on purpose: a store must handle both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// A read of one stream, by version.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamRead {
    /// The stream.
    pub stream: StreamName,
    /// Which way.
    pub direction: Direction,
    /// The first version to return; the stream's end in that direction when `None`.
    pub from: Option<Version>,
    /// At most this many events.
    pub limit: Option<u64>,
    /// At most this many events a page, at least 1.
    pub page_size: usize,
}

impl StreamRead {
    /// From the first event on.
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

    /// From the last event back.
    #[must_use]
    pub fn backward(stream: StreamName) -> Self {
        Self { direction: Direction::Backward, ..Self::forward(stream) }
    }

    /// Starts at this version, which is returned too if it exists.
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

    /// Returns at most this many events a page; 0 counts as 1.
    #[must_use]
    pub const fn page_size(mut self, events: usize) -> Self {
        self.page_size = if events == 0 { 1 } else { events };
        self
    }
}

/// A read of the whole log, by position.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogRead {
    /// Which events.
    pub filter: Filter,
    /// Which way.
    pub direction: Direction,
    /// The first position to look at; the log's end in that direction when `None`.
    pub from: Option<Position>,
    /// At most this many events.
    pub limit: Option<u64>,
    /// At most this many events a page, at least 1.
    pub page_size: usize,
}

impl LogRead {
    /// From the first event on.
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

    /// From the last event back.
    #[must_use]
    pub fn backward() -> Self {
        Self { direction: Direction::Backward, ..Self::forward() }
    }

    /// Returns only the events that the filter lets through.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Starts at this position, which is returned too if it passes the filter.
    #[must_use]
    pub fn from(mut self, position: impl Into<Position>) -> Self {
        self.from = Some(position.into());
        self
    }

    /// Starts behind this position: what a reader that has seen it asks for.
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

    /// Returns at most this many events a page; 0 counts as 1.
    #[must_use]
    pub const fn page_size(mut self, events: usize) -> Self {
        self.page_size = if events == 0 { 1 } else { events };
        self
    }
}

/// Which events of the log. An event passes when it meets every condition that is set; the store
/// filters, so what does not pass is not transferred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only this stream.
    pub stream: Option<StreamName>,
    /// Only these categories; no condition when empty.
    pub categories: Vec<Category>,
    /// Only these event types; no condition when empty.
    pub types: Vec<EventName>,
    /// Only this conversation.
    pub correlation_id: Option<CorrelationId>,
}

impl Filter {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// One stream.
    #[must_use]
    pub fn stream(stream: StreamName) -> Self {
        Self { stream: Some(stream), ..Self::default() }
    }

    /// One category. Call [`and_category`](Self::and_category) for more.
    #[must_use]
    pub fn category(category: Category) -> Self {
        Self::default().and_category(category)
    }

    /// The event types of an [`Event`](crate::Event): `Filter::types(AccountEvent::TYPES)`.
    #[must_use]
    pub fn types(types: &[EventType]) -> Self {
        Self { types: types.iter().map(|known| known.event_name()).collect(), ..Self::default() }
    }

    /// One conversation, whatever it touched.
    #[must_use]
    pub fn correlation(id: CorrelationId) -> Self {
        Self { correlation_id: Some(id), ..Self::default() }
    }

    /// Lets one more category through.
    #[must_use]
    pub fn and_category(mut self, category: Category) -> Self {
        self.categories.push(category);
        self
    }

    /// Lets one more event type through.
    #[must_use]
    pub fn and_type(mut self, name: EventName) -> Self {
        self.types.push(name);
        self
    }

    /// Whether it lets everything through.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it lets this event through.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.stream.as_ref().is_none_or(|stream| *stream == event.stream)
            && (self.categories.is_empty()
                || self.categories.iter().any(|c| c.as_str() == event.stream.category()))
            && (self.types.is_empty() || self.types.contains(&event.event.name))
            && self.correlation_id.is_none_or(|id| event.metadata.correlation_id == Some(id))
    }
}

/// Some events in a row, and how far the reader has got with them.
///
/// `through` moves also when nothing passed a filter, so that a reader of rare events does not
/// look at the same stretch of the log again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page<At> {
    /// The events, in the read's direction.
    pub events: Vec<RecordedEvent>,
    /// Everything up to here, inclusive, has been looked at. Where a forward read ends of its own
    /// accord (not by its limit), the last page's is the head as it was when the read began.
    pub through: At,
}

impl<At> Page<At> {
    /// From its parts.
    #[must_use]
    pub const fn new(events: Vec<RecordedEvent>, through: At) -> Self {
        Self { events, through }
    }
}

/// The pages of a read. Nothing is read before the first is asked for, and dropping the stream
/// frees all it holds.
pub type Pages<At> = Pin<Box<dyn Stream<Item = Result<Page<At>, ReadError>> + Send>>;
