//! Reading the log for one partition: decoded events, in pieces.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::store::{EventStore, Filter, LogRead, Pages};
use crate::{DecodeError, Event, Position, ReadError, Recorded, RecordedEvent};

/// Some events in a row, and how far the log was looked at.
pub(super) struct Chunk<E> {
    pub(super) events: Vec<Recorded<E>>,
    /// What follows them and cannot be decoded.
    pub(super) undecodable: Option<DecodeError>,
    /// Everything up to here is in the chunk, but for what is undecodable.
    pub(super) through: Position,
}

pub(super) struct Reader<E> {
    store: Arc<dyn EventStore>,
    filter: Filter,
    page_size: usize,
    /// Whether an event belongs here, as far as that can be said before it is decoded.
    is_mine: Box<dyn Fn(&RecordedEvent) -> bool + Send + Sync>,
    pages: Option<Pages<Position>>,
    /// The rest of the page, behind an event that could not be decoded.
    rest: VecDeque<RecordedEvent>,
    through: Position,
    /// Set while a page is read event by event, because one in it cannot be read.
    singly: bool,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Reader<E> {
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        filter: Filter,
        page_size: usize,
        is_mine: impl Fn(&RecordedEvent) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            filter,
            page_size,
            is_mine: Box::new(is_mine),
            pages: None,
            rest: VecDeque::new(),
            through: Position::START,
            singly: false,
            event: PhantomData,
        }
    }

    /// Forgets what was read ahead.
    pub(super) fn reset(&mut self) {
        self.pages = None;
        self.rest.clear();
    }

    /// The next events behind a position, which only counts when nothing was read ahead. `None`
    /// at the head.
    pub(super) async fn next(&mut self, after: Position) -> Result<Option<Chunk<E>>, ReadError> {
        if self.rest.is_empty() {
            let size = if self.singly { 1 } else { self.page_size };
            let read = || LogRead::forward().filter(self.filter.clone()).after(after);
            let pages =
                self.pages.get_or_insert_with(|| self.store.read_log(read().page_size(size)));
            match pages.next().await {
                Some(Ok(page)) => {
                    self.rest = page.events.into();
                    self.through = page.through;
                    if std::mem::take(&mut self.singly) {
                        // One was read; go on event by event until the bad one comes first.
                        self.pages = None;
                        self.singly = self.rest.front().is_some();
                    }
                }
                Some(Err(ReadError::Decode(error))) => {
                    self.pages = None;
                    if std::mem::replace(&mut self.singly, true) {
                        self.singly = false;
                        let through = Position::new(error.position.get().saturating_sub(1));
                        let undecodable = Some(error);
                        return Ok(Some(Chunk { events: Vec::new(), undecodable, through }));
                    }
                    let (events, undecodable) = (Vec::new(), None);
                    return Ok(Some(Chunk { events, undecodable, through: after }));
                }
                Some(Err(error)) => {
                    self.pages = None;
                    return Err(error);
                }
                None => {
                    self.pages = None;
                    self.singly = false;
                    return Ok(None);
                }
            }
        }
        let mut events = Vec::with_capacity(self.rest.len());
        while let Some(event) = self.rest.pop_front() {
            if !(self.is_mine)(&event) {
                continue;
            }
            let position = event.position;
            match event.into_decoded() {
                Ok(event) => events.push(event),
                Err(error) => {
                    // Other parts of the same stored event go with it.
                    events.retain(|event| event.position < position);
                    while self.rest.front().is_some_and(|event| event.position == position) {
                        self.rest.pop_front();
                    }
                    let through = Position::new(position.get().saturating_sub(1));
                    return Ok(Some(Chunk { events, undecodable: Some(error), through }));
                }
            }
        }
        Ok(Some(Chunk { events, undecodable: None, through: self.through }))
    }
}
