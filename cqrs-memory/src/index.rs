//! Positions by stream, category, event type and correlation id, each list in ascending order.

use std::collections::HashSet;
use std::hash::Hash;

use cqrs_core::{
    CorrelationId, Position, StreamName, Version,
    event::EventName,
    store::{Category, Filter},
};
use hashbrown::HashMap;

/// Finds the events that match a filter without reading the rest of the log.
#[derive(Default)]
pub(crate) struct Index {
    streams: HashMap<StreamName, Vec<Position>>,
    categories: HashMap<String, Vec<Position>>,
    types: HashMap<EventName, Vec<Position>>,
    correlations: HashMap<CorrelationId, Vec<Position>>,
}

/// The lists that the events of one stream are added to.
pub(crate) struct StreamLists<'a> {
    /// The name as stored in the index. Events share its memory.
    pub(crate) stream: StreamName,
    versions: &'a mut Vec<Position>,
    category: &'a mut Vec<Position>,
    types: &'a mut HashMap<EventName, Vec<Position>>,
    correlations: &'a mut HashMap<CorrelationId, Vec<Position>>,
}

impl Index {
    /// Returns the positions of a stream's events. The event with version *v* has index *v* - 1.
    pub(crate) fn stream(&self, stream: &StreamName) -> &[Position] {
        list(self.streams.get(stream))
    }

    /// Returns every stream that has events, with their positions.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&StreamName, &[Position])> {
        self.streams.iter().map(|(stream, positions)| (stream, positions.as_slice()))
    }

    /// Returns the lists of a stream, to which the caller must add at least one event.
    pub(crate) fn open(&mut self, stream: StreamName) -> StreamLists<'_> {
        let category = self.categories.entry_ref(stream.category()).or_default();
        let entry = self.streams.entry(stream);
        StreamLists {
            stream: entry.key().clone(),
            versions: entry.or_default(),
            category,
            types: &mut self.types,
            correlations: &mut self.correlations,
        }
    }

    /// Returns disjoint lists that contain every event from `first` to `last` that matches the filter,
    /// and as few others as one index allows, or `None` if every event matches.
    pub(crate) fn narrowest(
        &self,
        filter: &Filter,
        first: Position,
        last: Position,
    ) -> Option<Vec<&[Position]>> {
        let cut = |list| between(list, first, last);
        let stream = filter.stream.as_ref().map(|name| vec![cut(self.stream(name))]);
        let correlation =
            filter.correlation_id.map(|id| vec![cut(list(self.correlations.get(&id)))]);
        let categories = distinct(&filter.categories)
            .map(|names| names.map(|name| cut(list(self.categories.get(Category::as_str(name))))))
            .map(Iterator::collect);
        let types = distinct(&filter.types)
            .map(|names| names.map(|name| cut(list(self.types.get(name)))))
            .map(Iterator::collect);
        [stream, correlation, categories, types]
            .into_iter()
            .flatten()
            .min_by_key(|lists: &Vec<&[Position]>| lists.iter().map(|l| l.len()).sum::<usize>())
    }
}

impl StreamLists<'_> {
    /// Adds one event and returns its version and the shared name of its type.
    pub(crate) fn push(
        &mut self,
        position: Position,
        name: EventName,
        correlation_id: Option<CorrelationId>,
    ) -> (Version, EventName) {
        self.versions.push(position);
        self.category.push(position);
        let entry = self.types.entry(name);
        let name = entry.key().clone();
        entry.or_default().push(position);
        if let Some(id) = correlation_id {
            self.correlations.entry(id).or_default().push(position);
        }
        (self.version(), name)
    }

    pub(crate) const fn version(&self) -> Version {
        Version::new(self.versions.len() as u64)
    }
}

fn list(positions: Option<&Vec<Position>>) -> &[Position] {
    positions.map_or(&[], Vec::as_slice)
}

/// Returns the part of an ascending list from `first` to `last`, found by binary search.
fn between(list: &[Position], first: Position, last: Position) -> &[Position] {
    let start = list.partition_point(|position| *position < first);
    let end = list.partition_point(|position| *position <= last);
    list.get(start..end).unwrap_or_default()
}

/// Returns each name once, so that no event is found twice, or `None` if there are no names.
fn distinct<T: Eq + Hash>(names: &[T]) -> Option<impl Iterator<Item = &T>> {
    (!names.is_empty()).then(|| names.iter().collect::<HashSet<_>>().into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_in_the_narrowest_index_are_read() {
        let mut index = Index::default();
        let big = StreamName::new("account-1").unwrap();
        let (common, rare) = (EventName::new("common").unwrap(), EventName::new("rare").unwrap());
        for number in 1..=1_000 {
            let name = if number % 100 == 0 { &rare } else { &common };
            index.open(big.clone()).push(Position::new(number), name.clone(), None);
        }
        let looked_at = |filter: &Filter, first, last| {
            let lists = index.narrowest(filter, Position::new(first), Position::new(last));
            lists.map(|lists| lists.concat().into_iter().map(Position::get).collect::<Vec<_>>())
        };
        let both = Filter::stream(big.clone()).and_type(rare.clone());
        assert_eq!(looked_at(&both, 1, 1_000).unwrap().len(), 10);
        assert_eq!(looked_at(&both, 300, 500).unwrap(), [300, 400, 500]);
        assert!(looked_at(&both, 998, 999).unwrap().is_empty());
        assert_eq!(looked_at(&Filter::all().and_type(common), 999, 1_000).unwrap(), [999]);
        let nothing = Filter::category(Category::new("order").unwrap()).and_type(rare);
        assert!(looked_at(&nothing, 1, 1_000).unwrap().is_empty());
        assert_eq!(looked_at(&Filter::all(), 1, 1_000), None);
    }
}
