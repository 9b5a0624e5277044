//! Reading one stream.

use std::sync::Arc;

use cqrs_core::{
    StreamName, Version,
    store::{Direction, ReadError, StreamRead},
};
use sqlx::Row;

use super::pages::{Cursor, Fetched, Found};
use crate::Pg;
use crate::database::Database;
use crate::database::arguments::arguments;
use crate::database::error::store_error;
use crate::database::numbers::{signed, unsigned};

pub(crate) struct StreamCursor {
    database: Arc<Database>,
    stream: StreamName,
    direction: Direction,
    page_size: usize,
    /// The versions left to read, both included. Bounded by the end of the stream once the first
    /// page is read.
    low: u64,
    high: u64,
    left: u64,
    is_first: bool,
}

impl StreamCursor {
    pub(crate) fn new(database: Arc<Database>, read: StreamRead) -> Self {
        let from = read.from.map(Version::get);
        let (low, high) = match read.direction {
            Direction::Forward => (from.unwrap_or(1).max(1), u64::MAX),
            Direction::Backward => (1, from.unwrap_or(u64::MAX)),
        };
        Self {
            database,
            stream: read.stream,
            direction: read.direction,
            page_size: read.page_size.max(1),
            low,
            high,
            left: read.limit.unwrap_or(u64::MAX),
            is_first: true,
        }
    }

    /// The result of a first page without events: an empty page if the stream exists and the read
    /// starts outside of it, otherwise an error.
    async fn empty(&self) -> Result<Option<Fetched<Version>>, ReadError> {
        let given = arguments![self.stream.as_str()];
        let rows =
            self.database.connections.fetch(&self.database.sql.stream_version, given).await?;
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
        let database = Arc::clone(&self.database);
        let is_first = std::mem::replace(&mut self.is_first, false);
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.page_size);
        let sql = match self.direction {
            Direction::Forward => &database.sql.stream_forward,
            Direction::Backward => &database.sql.stream_backward,
        };
        let id = database.names.cache().stream_id(&self.stream);
        let (low, high, limit) = (signed(self.low), signed(self.high), signed(size as u64));
        let given = arguments![id, self.stream.as_str(), low, high, limit];
        let rows = database.connections.fetch(sql, given).await?;
        let Some(first) = rows.first() else {
            self.left = 0;
            return if is_first { self.empty().await } else { Ok(None) };
        };
        {
            let mut cache = database.names.cache();
            let id = first.try_get(1).map_err(store_error)?;
            cache.add_stream_id(&self.stream, id);
            cache.add_stream(id, &self.stream);
        }
        if is_first && self.direction == Direction::Forward {
            self.high = unsigned(first.try_get(9).map_err(store_error)?);
        }
        let last = rows.last().map_or(Ok(Pg(Version::ZERO)), |row| row.try_get(2));
        let Pg(through) = last.map_err(store_error)?;
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

    fn has_more(&self) -> bool {
        self.left > 0 && self.low <= self.high
    }
}
