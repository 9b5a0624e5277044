//! Reading the log.
//!
//! The head is asked for first; everything up to it is there and final, so the pages are read one
//! after another and still are one picture. Near the head nothing is read at all: the events come
//! from [`newest`](crate::newest).

use std::sync::Arc;

use cqrs_core::{
    Position,
    event::{EventName, RecordedEvent},
    store::{Category, Direction, Filter, LogRead, ReadError, StoreError},
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::rows::{COLUMNS, events};
use super::{Cursor, Fetched, Found};
use crate::connections::arguments;
use crate::error::{corrupt, store_error};
use crate::newest::MOST_FETCHED;
use crate::numbers::{signed, unsigned};
use crate::store::Shared;

pub(crate) const HEAD: &str = "select coalesce(max(position), 0) from cqrs.events";

/// What came behind a position; one page of the plainest kind.
pub(crate) const FOLLOWING: &str = "
select e.position, e.stream_id, e.version, e.type_id, e.schema_version, e.event_id,
       e.recorded_at, e.data, e.metadata
  from cqrs.events e
 where e.position > $1 order by e.position limit $2";

/// How many positions a filter looks at in one statement: the first time, and at most. A stretch
/// without a match is followed by a longer one.
const FIRST_STRETCH: u64 = 10_000;
const LONGEST_STRETCH: u64 = 640_000;

pub(crate) struct LogCursor {
    shared: Arc<Shared>,
    read: LogRead,
    sql: Arc<str>,
    stretch: Option<u64>,
    rest: Rest,
    left: u64,
}

enum Rest {
    Unread,
    /// Between two positions, both included.
    Stored {
        low: u64,
        high: u64,
    },
    /// In memory, up to the head.
    Newest {
        events: std::vec::IntoIter<RecordedEvent>,
        head: Position,
    },
    Nothing,
}

impl LogCursor {
    pub(crate) fn new(shared: Arc<Shared>, mut read: LogRead) -> Self {
        read.page_size = read.page_size.max(1);
        let left = read.limit.unwrap_or(u64::MAX);
        let sql = shared.schema.sql(&text(&read.filter, read.direction));
        // An index leads straight to the events of a stream or a conversation.
        let indexed = read.filter.stream.is_some() || read.filter.correlation_id.is_some();
        let stretch = (!read.filter.is_all() && !indexed).then_some(FIRST_STRETCH);
        Self { shared, read, sql, stretch, rest: Rest::Unread, left }
    }

    async fn begin(&mut self) -> Result<(), ReadError> {
        let from = self.read.from.map(Position::get);
        if let (Direction::Forward, Some(from)) = (self.read.direction, from)
            && let Some((events, head)) = self.shared.newest.read(from, &self.shared).await?
        {
            self.rest = Rest::Newest { events: events.into_iter(), head };
            return Ok(());
        }
        let head = self.shared.ask_head().await?;
        let (low, high) = match self.read.direction {
            Direction::Forward => {
                self.shared.newest.start_behind(head);
                (from.unwrap_or(1).max(1), head.get())
            }
            Direction::Backward => (1, from.unwrap_or(u64::MAX).min(head.get())),
        };
        self.rest = Rest::Stored { low, high };
        Ok(())
    }

    /// Up to `size` rows of what is stored, read stretch by stretch.
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
            filter.correlation_id.map(|id| id.as_uuid()),
        ];
        Ok(self.shared.connections.fetch(&self.sql, given).await?)
    }
}

impl Cursor for LogCursor {
    type At = Position;

    async fn fetch(&mut self) -> Result<Option<Fetched<Position>>, ReadError> {
        let is_first = matches!(self.rest, Rest::Unread);
        if is_first {
            self.begin().await?;
        }
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.read.page_size);
        let (found, all_through) = match &mut self.rest {
            Rest::Newest { events, head } => {
                let filter = &self.read.filter;
                let passing = events.filter(|event| filter.matches(event)).take(size);
                (Found::Events(passing.collect()), *head)
            }
            Rest::Stored { low, high } => {
                let (low, high) = (*low, *high);
                (Found::Rows(self.stored(low, high, size).await?), Position::new(high))
            }
            Rest::Unread | Rest::Nothing => return Ok(None),
        };
        let (count, last) = match &found {
            Found::Events(events) => (events.len(), events.last().map(|event| event.position)),
            Found::Rows(rows) => (rows.len(), rows.last().map(position).transpose()?),
        };
        self.left -= count as u64;
        let through = match self.read.direction {
            // Nothing else passes, so everything up to the head was looked at.
            Direction::Forward if count < size => all_through,
            Direction::Forward => last.unwrap_or_else(|| self.before(all_through)),
            Direction::Backward => last.unwrap_or(Position::START),
        };
        self.pass(count == size, through);
        let is_forward = self.read.direction == Direction::Forward;
        let is_dense = is_forward && self.read.filter.is_all();
        // Only a forward read has something to say without events: how far it looked.
        let says = is_first || is_forward || count > 0;
        Ok(says.then_some(Fetched { found, through, is_dense }))
    }

    fn goes_on(&self) -> bool {
        !matches!(self.rest, Rest::Nothing)
    }
}

impl LogCursor {
    /// Where a read that may return nothing stands.
    fn before(&self, head: Position) -> Position {
        let from = self.read.from.map_or(1, |from| from.get().max(1));
        head.min(Position::new(from - 1))
    }

    /// Goes on behind a page that was full or the last.
    fn pass(&mut self, was_full: bool, through: Position) {
        let is_done = match &mut self.rest {
            Rest::Stored { low, high } => {
                match self.read.direction {
                    Direction::Forward => *low = through.next().get(),
                    Direction::Backward => *high = through.get().saturating_sub(1),
                }
                low > high
            }
            Rest::Newest { head, .. } => through >= *head,
            Rest::Unread | Rest::Nothing => true,
        };
        if is_done || !was_full || self.left == 0 {
            self.rest = Rest::Nothing;
        }
    }
}

/// The statement for a filter. All of them take the same arguments and ignore those that their
/// text does not mention.
fn text(filter: &Filter, direction: Direction) -> String {
    let mut conditions = String::new();
    if filter.stream.is_some() {
        conditions.push_str(
            " and e.stream_id = (select s.id from cqrs.streams s where s.name = $4::text)",
        );
    }
    if !filter.categories.is_empty() {
        conditions.push_str(
            " and exists (select from cqrs.streams s \
                where s.id = e.stream_id and s.category = any($5::text[]))",
        );
    }
    if !filter.types.is_empty() {
        conditions.push_str(
            " and e.type_id = any(array(select t.id from cqrs.event_types t \
                where t.name = any($6::text[])))",
        );
    }
    if filter.correlation_id.is_some() {
        conditions.push_str(" and e.correlation_id = $7::uuid");
    }
    // In one stream the order of versions is that of positions, and it has an index.
    let key = if filter.stream.is_some() { "version" } else { "position" };
    let order = match direction {
        Direction::Forward => "asc",
        Direction::Backward => "desc",
    };
    format!(
        "select {COLUMNS} from cqrs.events e \
          where e.position between $1 and $2{conditions} \
          order by e.{key} {order} limit $3"
    )
}

/// What came behind a position, at most [`MOST_FETCHED`].
pub(crate) async fn following(
    shared: &Shared,
    position: u64,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let given = arguments![signed(position), signed(MOST_FETCHED as u64)];
    let rows = shared.connections.fetch(&shared.sql.following, given).await?;
    let events = events(&rows, shared).await?;
    assert_dense(&events)?;
    if events.first().is_some_and(|event| event.position.get() != position + 1) {
        return Err(hole().into());
    }
    Ok(events)
}

fn position(row: &PgRow) -> Result<Position, StoreError> {
    row.try_get(0).map(|position| Position::new(unsigned(position))).map_err(store_error)
}

/// Without a filter positions have no gap: a free proof, page by page, that none was lost.
pub(crate) fn assert_dense(events: &[RecordedEvent]) -> Result<(), ReadError> {
    let are_dense =
        events.windows(2).all(|two| matches!(two, [a, b] if a.position.next() == b.position));
    if are_dense { Ok(()) } else { Err(hole().into()) }
}

fn hole() -> StoreError {
    corrupt("the log has a gap: a position below the head is missing")
}
