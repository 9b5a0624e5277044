//! Executing a [`Read`](super::Read): by version if possible, otherwise by position.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::event_stream::Batches;
use super::{
    DEFAULT_PAGE_SIZE, Direction, EventStore, EventStream, Filter, LogRead, Pages, ReadError,
    StreamRead,
};
use crate::{Position, RecordedEvent, StreamName, Version};

/// The content of a `Read`. `from_version` and `must_exist` are set only if the filter names a
/// stream.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) filter: Filter,
    pub(super) backward: bool,
    pub(super) start: Start,
    pub(super) from_version: Option<Version>,
    pub(super) must_exist: bool,
    pub(super) limit: Option<u64>,
    pub(super) page_size: usize,
}

/// The position a read starts at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// The first event in the direction of the read.
    End,
    /// This position, inclusive.
    At(Position),
    /// This position, exclusive.
    After(Position),
}

impl Request {
    pub(super) const fn new(filter: Filter) -> Self {
        Self {
            filter,
            backward: false,
            start: Start::End,
            from_version: None,
            must_exist: false,
            limit: None,
            page_size: DEFAULT_PAGE_SIZE,
        }
    }

    /// Fetches the first page.
    pub(super) async fn open<S>(self, store: &S) -> Result<EventStream, ReadError>
    where
        S: EventStore + ?Sized,
    {
        let must_exist = self.must_exist;
        let stream = self.filter.stream.clone();
        if let Some(stream) = stream.clone()
            && (self.from_version.is_some() || self.is_whole_stream())
        {
            return match EventStream::open(self.by_version(stream, store)).await {
                Err(ReadError::StreamNotFound { .. }) if !must_exist => Ok(EventStream::empty()),
                opened => opened,
            };
        }
        let pages = store.read_log(self.into_log_read());
        let opened = EventStream::open(batches(pages)).await?;
        match stream {
            Some(stream)
                if must_exist
                    && opened.first_batch_is_empty()
                    && store.stream_info(&stream).await?.is_none() =>
            {
                Err(ReadError::StreamNotFound { stream })
            }
            _ => Ok(opened),
        }
    }

    /// Returns `true` if the stream is the only condition of the read.
    fn is_whole_stream(&self) -> bool {
        let Filter { stream: _, categories, types, correlation_id } = &self.filter;
        let filtered = !categories.is_empty() || !types.is_empty() || correlation_id.is_some();
        !filtered && matches!(self.start, Start::End)
    }

    /// Returns the position to start at, inclusive.
    fn first_position(&self) -> Option<Position> {
        match self.start {
            Start::End => None,
            Start::At(position) => Some(position),
            Start::After(position) if self.backward => {
                Some(Position::new(position.get().saturating_sub(1)))
            }
            Start::After(position) => Some(position.next()),
        }
    }

    const fn direction(&self) -> Direction {
        if self.backward { Direction::Backward } else { Direction::Forward }
    }

    fn into_log_read(self) -> LogRead {
        LogRead {
            direction: self.direction(),
            from: self.first_position(),
            filter: self.filter,
            limit: self.limit,
            page_size: self.page_size,
        }
    }

    /// Reads by version. A store cannot filter such a read, so the other conditions apply here.
    fn by_version<S: EventStore + ?Sized>(self, stream: StreamName, store: &S) -> Batches {
        let read = StreamRead {
            stream,
            direction: self.direction(),
            from: self.from_version,
            limit: self.limit,
            page_size: self.page_size,
        };
        // With a limit of 0 there is nothing to filter, but the store must still find the stream.
        if self.is_whole_stream() || self.limit == Some(0) {
            return batches(store.read_stream(read));
        }
        let pages = batches(store.read_stream(StreamRead { limit: None, ..read }));
        let state = (pages, Selection::of(self));
        stream::unfold(state, |(mut pages, mut selection)| async {
            if selection.left == 0 {
                return None;
            }
            let selected = pages.next().await?.map(|events| selection.select(events));
            Some((selected, (pages, selection)))
        })
        .boxed()
    }
}

/// Applies a request's conditions to the events of its stream.
struct Selection {
    request: Request,
    /// How many more stored events may be returned.
    left: u64,
}

impl Selection {
    fn of(request: Request) -> Self {
        Self { left: request.limit.unwrap_or(u64::MAX), request }
    }

    fn select(&mut self, mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        let first = self.request.first_position();
        let mut last = None;
        events.retain(|event| {
            let started = first.is_none_or(|first| {
                if self.request.backward {
                    event.position <= first
                } else {
                    event.position >= first
                }
            });
            if !started || !self.request.filter.matches(event) {
                return false;
            }
            // The events that an upcaster makes of one stored event share its position.
            if last == Some(event.position) {
                return true;
            }
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
            last = Some(event.position);
            true
        });
        events
    }
}

fn batches<At: Send + 'static>(pages: Pages<At>) -> Batches {
    pages.map_ok(|page| page.events).boxed()
}
