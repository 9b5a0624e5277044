//! Reading the log.
//!
//! The head is read first. Everything up to it is stored and final, so the pages that are read one
//! after another are one consistent view. Near the head the events come from [`newest`](super::newest).

use std::sync::Arc;

use cqrs_core::{
    Position,
    event::{EventName, RecordedEvent},
    store::{Category, Direction, LogRead, ReadError, StoreError},
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::newest::Newest;
use super::pages::{Cursor, Fetched, Found};
use crate::Pg;
use crate::database::Database;
use crate::database::arguments::arguments;
use crate::database::error::store_error;
use crate::database::numbers::signed;
use crate::database::sql::log_page;

/// Number of positions that one statement with a filter examines: at first, and at most. A stretch
/// without a match is followed by a longer one.
const FIRST_STRETCH: u64 = 10_000;
const LONGEST_STRETCH: u64 = 640_000;

pub(crate) struct LogCursor {
    database: Arc<Database>,
    newest: Arc<Newest>,
    read: LogRead,
    sql: Arc<str>,
    stretch: Option<u64>,
    remaining: Remaining,
    left: u64,
}

/// What is left to read.
enum Remaining {
    /// Everything; the head is not read yet.
    Unread,
    /// Stored events between two positions, both included.
    Stored {
        low: u64,
        high: u64,
    },
    /// Cached events, up to the head.
    Newest {
        events: std::vec::IntoIter<RecordedEvent>,
        head: Position,
    },
    Nothing,
}

impl LogCursor {
    pub(crate) fn new(database: Arc<Database>, newest: Arc<Newest>, mut read: LogRead) -> Self {
        read.page_size = read.page_size.max(1);
        let left = read.limit.unwrap_or(u64::MAX);
        let sql = database.schema.sql(&log_page(&read.filter, read.direction));
        // The events of a stream and those with a correlation id have an index.
        let indexed = read.filter.stream.is_some() || read.filter.correlation_id.is_some();
        let stretch = (!read.filter.is_all() && !indexed).then_some(FIRST_STRETCH);
        let remaining = Remaining::Unread;
        Self { database, newest, read, sql, stretch, remaining, left }
    }

    async fn begin(&mut self) -> Result<(), ReadError> {
        let from = self.read.from.map(Position::get);
        if let (Direction::Forward, Some(from)) = (self.read.direction, from)
            && let Some((events, head)) = self.newest.read(from, &self.database).await?
        {
            self.remaining = Remaining::Newest { events: events.into_iter(), head };
            return Ok(());
        }
        let head = self.database.read_head().await?;
        let (low, high) = match self.read.direction {
            Direction::Forward => {
                self.newest.start_after(head);
                (from.unwrap_or(1).max(1), head.get())
            }
            Direction::Backward => (1, from.unwrap_or(u64::MAX).min(head.get())),
        };
        self.remaining = Remaining::Stored { low, high };
        Ok(())
    }

    /// Up to `size` stored rows, read stretch by stretch.
    async fn stored(&mut self, low: u64, high: u64, size: usize) -> Result<Vec<PgRow>, ReadError> {
        let (mut low, mut high) = (low, high);
        let mut found = Vec::new();
        while low <= high && found.len() < size {
            let stretch = self.stretch.unwrap_or(u64::MAX).saturating_sub(1);
            let (first, last) = match self.read.direction {
                Direction::Forward => (low, high.min(low.saturating_add(stretch))),
                Direction::Backward => (low.max(high.saturating_sub(stretch)), high),
            };
            found.append(&mut self.rows(first, last, size - found.len()).await?);
            match self.read.direction {
                Direction::Forward => low = last.saturating_add(1),
                Direction::Backward => high = first.saturating_sub(1),
            }
            if let Some(stretch) = self.stretch.as_mut().filter(|_| found.len() < size) {
                *stretch = (*stretch * 4).min(LONGEST_STRETCH);
            }
        }
        Ok(found)
    }

    async fn rows(&self, first: u64, last: u64, size: usize) -> Result<Vec<PgRow>, ReadError> {
        let filter = &self.read.filter;
        let categories: Vec<&str> = filter.categories.iter().map(Category::as_str).collect();
        let types: Vec<&str> = filter.types.iter().map(EventName::as_str).collect();
        let given = arguments![
            signed(first),
            signed(last),
            signed(size as u64),
            filter.stream.as_ref().map(|stream| stream.as_str()),
            categories,
            types,
            filter.correlation_id.map(Pg),
        ];
        Ok(self.database.connections.fetch(&self.sql, given).await?)
    }
}

impl Cursor for LogCursor {
    type At = Position;

    async fn fetch(&mut self) -> Result<Option<Fetched<Position>>, ReadError> {
        let is_first = matches!(self.remaining, Remaining::Unread);
        if is_first {
            self.begin().await?;
        }
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.read.page_size);
        let (found, all_through) = match &mut self.remaining {
            Remaining::Newest { events, head } => {
                let filter = &self.read.filter;
                let passing = events.filter(|event| filter.matches(event)).take(size);
                (Found::Events(passing.collect()), *head)
            }
            Remaining::Stored { low, high } => {
                let (low, high) = (*low, *high);
                (Found::Rows(self.stored(low, high, size).await?), Position::new(high))
            }
            Remaining::Unread | Remaining::Nothing => return Ok(None),
        };
        let (count, last) = match &found {
            Found::Events(events) => (events.len(), events.last().map(|event| event.position)),
            Found::Rows(rows) => (rows.len(), rows.last().map(position).transpose()?),
        };
        self.left -= count as u64;
        let through = match self.read.direction {
            // No further event matches, so everything up to the head was examined.
            Direction::Forward if count < size => all_through,
            Direction::Forward => last.unwrap_or_else(|| self.before(all_through)),
            Direction::Backward => last.unwrap_or(Position::START),
        };
        self.advance(count == size, through);
        let is_forward = self.read.direction == Direction::Forward;
        let is_dense = is_forward && self.read.filter.is_all();
        // A page without events is of use in a forward read only: it says what was examined.
        let has_page = is_first || is_forward || count > 0;
        Ok(has_page.then_some(Fetched { found, through, is_dense }))
    }

    fn has_more(&self) -> bool {
        !matches!(self.remaining, Remaining::Nothing)
    }
}

impl LogCursor {
    /// The position before a read that may return nothing.
    fn before(&self, head: Position) -> Position {
        let from = self.read.from.map_or(1, |from| from.get().max(1));
        head.min(Position::new(from - 1))
    }

    /// Continues after a page.
    fn advance(&mut self, was_full: bool, through: Position) {
        let is_done = match &mut self.remaining {
            Remaining::Stored { low, high } => {
                match self.read.direction {
                    Direction::Forward => *low = through.next().get(),
                    Direction::Backward => *high = through.get().saturating_sub(1),
                }
                low > high
            }
            Remaining::Newest { head, .. } => through >= *head,
            Remaining::Unread | Remaining::Nothing => true,
        };
        if is_done || !was_full || self.left == 0 {
            self.remaining = Remaining::Nothing;
        }
    }
}

fn position(row: &PgRow) -> Result<Position, StoreError> {
    row.try_get(0).map(|Pg(position)| position).map_err(store_error)
}
