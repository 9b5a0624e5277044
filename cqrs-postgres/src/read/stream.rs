//! Reading one stream.

use std::sync::Arc;

use cqrs_core::{
    StreamName, Version,
    store::{Direction, ReadError, StreamRead},
};
use sqlx::Row;

use super::{Cursor, Fetched, Found};
use crate::connections::arguments;
use crate::error::store_error;
use crate::numbers::{signed, unsigned};
use crate::store::Shared;

/// `$1` the stream's number if it is known, `$2` its name, `$3` and `$4` the first and the last
/// version, `$5` how many.
///
/// The last column is where the stream ends now; one index look-up, made once for the statement.
macro_rules! page_in_order {
    ($order:literal) => {
        concat!(
            "select e.position, e.stream_id, e.version, e.type_id, e.schema_version, e.event_id, \
                    e.recorded_at, e.data, e.metadata, \
                    (select max(x.version) from cqrs.events x where x.stream_id = \
                      coalesce($1, (select s.id from cqrs.streams s where s.name = $2))) \
               from cqrs.events e \
              where e.stream_id = \
                      coalesce($1, (select s.id from cqrs.streams s where s.name = $2)) \
                and e.version between $3 and $4 \
              order by e.version ",
            $order,
            " limit $5"
        )
    };
}

pub(crate) const FORWARD: &str = page_in_order!("asc");
pub(crate) const BACKWARD: &str = page_in_order!("desc");

pub(crate) const VERSION: &str = "
select coalesce(max(e.version), 0)
  from cqrs.events e join cqrs.streams s on s.id = e.stream_id
 where s.name = $1";

pub(crate) struct StreamCursor {
    shared: Arc<Shared>,
    stream: StreamName,
    direction: Direction,
    page_size: usize,
    /// What is left to read, both included. The stream's end takes part from the first page on.
    low: u64,
    high: u64,
    left: u64,
    is_first: bool,
}

impl StreamCursor {
    pub(crate) fn new(shared: Arc<Shared>, read: StreamRead) -> Self {
        let from = read.from.map(Version::get);
        let (low, high) = match read.direction {
            Direction::Forward => (from.unwrap_or(1).max(1), u64::MAX),
            Direction::Backward => (1, from.unwrap_or(u64::MAX)),
        };
        Self {
            shared,
            stream: read.stream,
            direction: read.direction,
            page_size: read.page_size.max(1),
            low,
            high,
            left: read.limit.unwrap_or(u64::MAX),
            is_first: true,
        }
    }

    /// A page without events: the stream is there and the read begins outside of it, or there is
    /// no stream.
    async fn nothing(&self) -> Result<Option<Fetched<Version>>, ReadError> {
        let given = arguments![self.stream.as_str()];
        let rows = self.shared.connections.fetch(&self.shared.sql.stream_version, given).await?;
        let version = rows.first().map(|row| row.try_get::<i64, _>(0)).transpose();
        match version.map_err(store_error)? {
            None | Some(0) => Err(ReadError::StreamNotFound { stream: self.stream.clone() }),
            Some(_) => Ok(Some(Fetched {
                found: Found::Rows(Vec::new()),
                through: Version::ZERO,
                is_dense: false,
            })),
        }
    }
}

impl Cursor for StreamCursor {
    type At = Version;

    async fn fetch(&mut self) -> Result<Option<Fetched<Version>>, ReadError> {
        let shared = Arc::clone(&self.shared);
        let is_first = std::mem::replace(&mut self.is_first, false);
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.page_size);
        let sql = match self.direction {
            Direction::Forward => &shared.sql.stream_forward,
            Direction::Backward => &shared.sql.stream_backward,
        };
        let id = shared.names.known().stream_id(&self.stream);
        let (low, high, limit) = (signed(self.low), signed(self.high), signed(size as u64));
        let given = arguments![id, self.stream.as_str(), low, high, limit];
        let rows = shared.connections.fetch(sql, given).await?;
        let Some(first) = rows.first() else {
            self.left = 0;
            return if is_first { self.nothing().await } else { Ok(None) };
        };
        {
            let mut known = shared.names.known();
            let id = first.try_get(1).map_err(store_error)?;
            known.learn_stream_id(&self.stream, id);
            known.learn_stream(id, &self.stream);
        }
        if is_first && self.direction == Direction::Forward {
            self.high = unsigned(first.try_get(9).map_err(store_error)?);
        }
        let last = rows.last().map_or(Ok(0), |row| row.try_get(2)).map_err(store_error)?;
        let through = Version::new(unsigned(last));
        self.left -= rows.len() as u64;
        match self.direction {
            Direction::Forward => self.low = through.next().get(),
            Direction::Backward => self.high = through.get().saturating_sub(1),
        }
        if rows.len() < size {
            self.left = 0;
        }
        Ok(Some(Fetched { found: Found::Rows(rows), through, is_dense: false }))
    }

    fn goes_on(&self) -> bool {
        self.left > 0 && self.low <= self.high
    }
}
