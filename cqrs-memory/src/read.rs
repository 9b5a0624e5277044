//! Reads, page by page.
//!
//! A read holds no lock between pages; each page searches the log again. The first page fixes where the
//! read ends.

use cqrs_core::{
    Position, Version,
    event::RecordedEvent,
    store::{Direction, LogRead, Page, ReadError, StreamRead},
};

use crate::log::{Log, numbered};
use crate::merge::Merge;

/// The part of the log or stream that a read has not returned yet.
struct Cursor {
    direction: Direction,
    /// The lowest and the highest number, both inclusive. Nothing is left if `low > high`.
    low: u64,
    high: u64,
    /// The maximum number of events still to return.
    limit: u64,
}

impl Cursor {
    /// Starts at `from`, by default at the first number (forward) or at `last` (backward).
    fn new(direction: Direction, from: Option<u64>, last: u64, limit: Option<u64>) -> Self {
        let (low, high) = match direction {
            Direction::Forward => (from.unwrap_or(1).max(1), last),
            Direction::Backward => (1, from.unwrap_or(last).min(last)),
        };
        Self { direction, low, high, limit: limit.unwrap_or(u64::MAX) }
    }

    /// Returns the maximum number of events of the next page. A page size of 0 counts as 1.
    fn page(&self, page_size: usize) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX).min(page_size.max(1))
    }

    /// Moves past a page with `got` of at most `page` events that ended at `end`.
    fn advance(&mut self, page: usize, got: usize, end: u64) {
        let left = self.limit.saturating_sub(got as u64);
        self.limit = if got < page { 0 } else { left };
        match self.direction {
            Direction::Forward => self.low = end.saturating_add(1),
            Direction::Backward => self.high = end.saturating_sub(1),
        }
    }

    const fn is_done(&self) -> bool {
        self.low > self.high || self.limit == 0
    }
}

/// The remaining pages of a read of one stream.
pub(crate) struct StreamPages {
    read: StreamRead,
    /// `None` before the first page.
    cursor: Option<Cursor>,
}

impl StreamPages {
    pub(crate) const fn new(read: StreamRead) -> Self {
        Self { read, cursor: None }
    }

    pub(crate) fn next(&mut self, log: &Log) -> Option<Result<Page<Version>, ReadError>> {
        let read = &self.read;
        let places = log.index.stream(&read.stream);
        let is_first = self.cursor.is_none();
        let cursor = self.cursor.get_or_insert_with(|| {
            let (from, last) = (read.from.map(Version::get), places.len() as u64);
            Cursor::new(read.direction, from, last, read.limit)
        });
        if is_first && places.is_empty() {
            return Some(Err(ReadError::StreamNotFound { stream: read.stream.clone() }));
        }
        if !is_first && cursor.is_done() {
            return None;
        }
        let page = cursor.page(read.page_size);
        let found = numbered(places, cursor.low, cursor.high)
            .iter()
            .filter_map(|position| log.event(*position));
        let events: Vec<_> = match read.direction {
            Direction::Forward => found.take(page).cloned().collect(),
            Direction::Backward => found.rev().take(page).cloned().collect(),
        };
        let through = events.last().map_or(Version::ZERO, |event| event.version);
        cursor.advance(page, events.len(), through.get());
        (is_first || !events.is_empty()).then(|| Ok(Page::new(events, through)))
    }
}

/// The remaining pages of a read of the log.
pub(crate) struct LogPages {
    read: LogRead,
    /// `None` before the first page.
    cursor: Option<Cursor>,
}

impl LogPages {
    pub(crate) const fn new(read: LogRead) -> Self {
        Self { read, cursor: None }
    }

    pub(crate) fn next(&mut self, log: &Log) -> Option<Page<Position>> {
        let read = &self.read;
        let is_first = self.cursor.is_none();
        let cursor = self.cursor.get_or_insert_with(|| {
            let (from, head) = (read.from.map(Position::get), log.head().get());
            Cursor::new(read.direction, from, head, read.limit)
        });
        if !is_first && cursor.is_done() {
            return None;
        }
        let page = cursor.page(read.page_size);
        let events: Vec<_> = matching(log, read, cursor).take(page).cloned().collect();
        let last = events.last().map(|event| event.position.get());
        let through = match read.direction {
            // No other event matches, so the read has covered everything up to its end.
            Direction::Forward if events.len() < page => cursor.high,
            Direction::Forward => last.unwrap_or((cursor.low - 1).min(cursor.high)),
            Direction::Backward => last.unwrap_or(0),
        };
        cursor.advance(page, events.len(), through);
        let closes = read.direction == Direction::Forward;
        (is_first || closes || !events.is_empty())
            .then(|| Page::new(events, Position::new(through)))
    }
}

/// Returns the events of the cursor's range that match the filter, in the direction of the read.
fn matching<'a>(
    log: &'a Log,
    read: &'a LogRead,
    cursor: &Cursor,
) -> Box<dyn Iterator<Item = &'a RecordedEvent> + 'a> {
    let (first, last) = (Position::new(cursor.low), Position::new(cursor.high));
    match (log.index.narrowest(&read.filter, first, last), read.direction) {
        (Some(lists), direction) => Box::new(
            Merge::new(lists, direction)
                .filter_map(|position| log.event(position))
                .filter(|event| read.filter.matches(event)),
        ),
        (None, Direction::Forward) => Box::new(log.between(first, last)),
        (None, Direction::Backward) => Box::new(log.between(first, last).rev()),
    }
}
