//! Reads and decodes the log for one partition.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::StreamExt;

use super::partitioning::PartitionKeys;
use crate::store::{EventStore, Filter, LogRead, Pages};
use crate::{DecodeError, Event, Position, ReadError, Recorded, RecordedEvent};

/// Consecutive events of a partition.
pub(in crate::projection) struct Chunk<E> {
    pub(in crate::projection) events: Vec<Recorded<E>>,
    /// The event after them, if it cannot be decoded.
    pub(in crate::projection) undecodable: Option<DecodeError>,
    /// The chunk holds every event of the partition up to here, except `undecodable`.
    pub(in crate::projection) through: Position,
}

pub(in crate::projection) struct Reader<E> {
    store: Arc<dyn EventStore>,
    filter: Filter,
    page_size: usize,
    keys: PartitionKeys<E>,
    pages: Option<Pages<Position>>,
    /// The rest of the page, after an event that could not be decoded.
    rest: VecDeque<RecordedEvent>,
    through: Position,
    /// Whether the page is read event by event, because one of its events cannot be read.
    singly: bool,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Reader<E> {
    pub(in crate::projection) fn new(
        store: Arc<dyn EventStore>,
        page_size: usize,
        keys: PartitionKeys<E>,
    ) -> Self {
        Self {
            store,
            filter: Filter::types(E::TYPES),
            page_size,
            keys,
            pages: None,
            rest: VecDeque::new(),
            through: Position::START,
            singly: false,
            event: PhantomData,
        }
    }

    /// Drops what was read ahead.
    pub(in crate::projection) fn reset(&mut self) {
        self.pages = None;
        self.rest.clear();
    }

    /// Returns the next events, or `None` at the head. `after` counts only if nothing was read
    /// ahead.
    pub(in crate::projection) async fn next(
        &mut self,
        after: Position,
    ) -> Result<Option<Chunk<E>>, ReadError> {
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
                        // One event was read. Continue until the one that cannot be read comes first.
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
            if !self.keys.may_contain(&event) {
                continue;
            }
            let position = event.position;
            match event.into_decoded() {
                Ok(event) => events.push(event),
                Err(error) => {
                    // The parts of a stored event belong together.
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
