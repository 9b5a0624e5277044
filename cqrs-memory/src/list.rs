//! Information about streams: one by name, or a page of those that a query finds.

use std::cmp::Ordering;

use cqrs_core::{
    Position, StreamName, Version,
    store::{Direction, StreamInfo, StreamListing, StreamOrder, StreamQuery},
};

use crate::log::Log;

impl Log {
    pub(crate) fn info(&self, stream: &StreamName) -> Option<StreamInfo> {
        self.describe(stream, self.index.stream(stream))
    }

    /// Returns the streams whose name contains the text, in no particular order.
    pub(crate) fn search(&self, text: &str) -> Vec<StreamInfo> {
        let found = self.index.streams().filter(|(stream, _)| stream.as_str().contains(text));
        found.filter_map(|(stream, positions)| self.describe(stream, positions)).collect()
    }

    fn describe(&self, stream: &StreamName, positions: &[Position]) -> Option<StreamInfo> {
        let (first, last) = (*positions.first()?, *positions.last()?);
        Some(StreamInfo::new(
            stream.clone(),
            Version::new(positions.len() as u64),
            last,
            self.event(first)?.recorded_at,
            self.event(last)?.recorded_at,
        ))
    }
}

/// Sorts the streams and returns the page that the query asks for. Runs without the lock.
pub(crate) fn page_of(mut found: Vec<StreamInfo>, query: StreamQuery) -> StreamListing {
    // The field is public, so the value may be out of bounds; the setter limits it.
    let size = query.page_size;
    let query = query.page_size(size);
    found.sort_unstable_by(|a, b| {
        let order = compare(query.order, a, b);
        let order = match query.direction {
            Direction::Forward => order,
            Direction::Backward => order.reverse(),
        };
        order.then_with(|| a.stream.cmp(&b.stream))
    });
    let total = found.len() as u64;
    let skipped = usize::try_from(query.offset()).unwrap_or(usize::MAX);
    let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
    StreamListing::new(found.into_iter().skip(skipped).take(size).collect(), total)
}

fn compare(order: StreamOrder, a: &StreamInfo, b: &StreamInfo) -> Ordering {
    match order {
        StreamOrder::Name => a.stream.cmp(&b.stream),
        StreamOrder::Version => a.version.cmp(&b.version),
        StreamOrder::CreatedAt => a.created_at.cmp(&b.created_at),
        StreamOrder::Position => a.position.cmp(&b.position),
    }
}
