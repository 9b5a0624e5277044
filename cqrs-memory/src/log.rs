//! The log: all events by position, and the indexes that find them.

use std::sync::Arc;

use cqrs_core::{
    EventId, Position, StreamName, Timestamp, Version,
    event::{NewEvent, RawEvent, RecordedEvent},
    store::{Append, AppendedStream},
};
use hashbrown::HashMap;

use crate::index::Index;

/// An event in the log.
pub(crate) struct Entry {
    pub(crate) event: RecordedEvent,
    /// When its append was stored; an import may give the event another time.
    pub(crate) stored_at: Timestamp,
}

/// All events. Only [`push`](Self::push) changes it, by adding events.
///
/// Invariant: the event at position *n* is the *n*-th entry, and its version is its place in the
/// list of its stream. Therefore neither positions nor versions have gaps.
#[derive(Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    ids: HashMap<EventId, Position>,
    pub(crate) index: Index,
}

impl Log {
    pub(crate) fn head(&self) -> Position {
        Position::new(self.entries.len() as u64)
    }

    pub(crate) fn get(&self, position: Position) -> Option<&Entry> {
        let place = usize::try_from(position.get().checked_sub(1)?).ok()?;
        self.entries.get(place)
    }

    pub(crate) fn event(&self, position: Position) -> Option<&RecordedEvent> {
        self.get(position).map(|entry| &entry.event)
    }

    /// Returns the events from `first` to `last`.
    pub(crate) fn between(
        &self,
        first: Position,
        last: Position,
    ) -> impl DoubleEndedIterator<Item = &RecordedEvent> {
        numbered(&self.entries, first.get(), last.get()).iter().map(|entry| &entry.event)
    }

    /// Returns the position of the event with this id.
    pub(crate) fn find(&self, id: EventId) -> Option<Position> {
        self.ids.get(&id).copied()
    }

    pub(crate) fn version(&self, stream: &StreamName) -> Version {
        Version::new(self.index.stream(stream).len() as u64)
    }

    /// Returns the events of an append as they will be recorded if no other append comes first.
    pub(crate) fn plan(&self, append: &Append, now: Timestamp) -> Vec<RecordedEvent> {
        let mut position = self.head();
        let mut events = Vec::with_capacity(append.event_count());
        for part in &append.streams {
            let mut version = self.version(&part.stream);
            for event in &part.events {
                (position, version) = (position.next(), version.next());
                let raw =
                    RawEvent::new(event.name.clone(), event.schema_version, event.payload.clone());
                let at = event.recorded_at.unwrap_or(now);
                let metadata = Arc::clone(&event.metadata);
                let stream = part.stream.clone();
                events.push(RecordedEvent::new(
                    stream, version, position, event.id, at, metadata, raw,
                ));
            }
        }
        events
    }

    /// Adds events to the end of the log and of their stream.
    pub(crate) fn push(
        &mut self,
        stream: StreamName,
        events: Vec<NewEvent>,
        stored_at: Timestamp,
    ) -> AppendedStream {
        if events.is_empty() {
            let version = self.version(&stream);
            return AppendedStream::new(stream, version, 0, Position::START);
        }
        let count = events.len() as u64;
        let mut position = self.head();
        let mut lists = self.index.open(stream);
        for event in events {
            position = position.next();
            let (version, name) = lists.push(position, event.name, event.metadata.correlation_id);
            self.ids.insert(event.id, position);
            self.entries.push(Entry {
                event: RecordedEvent::new(
                    lists.stream.clone(),
                    version,
                    position,
                    event.id,
                    event.recorded_at.unwrap_or(stored_at),
                    event.metadata,
                    RawEvent::new(name, event.schema_version, event.payload),
                ),
                stored_at,
            });
        }
        AppendedStream::new(lists.stream.clone(), lists.version(), count, position)
    }
}

/// Returns the elements `first` to `last` of a list that is numbered from 1.
pub(crate) fn numbered<T>(list: &[T], first: u64, last: u64) -> &[T] {
    let place = |number| usize::try_from(number).unwrap_or(usize::MAX).min(list.len());
    list.get(place(first.saturating_sub(1))..place(last)).unwrap_or_default()
}
