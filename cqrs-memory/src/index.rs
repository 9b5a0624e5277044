//! Positions by stream, category, type and conversation, each list in ascending order.

use std::collections::HashSet;
use std::hash::Hash;

use cqrs_core::{
    CorrelationId, Position, StreamName, Version,
    event::EventName,
    store::{Category, Filter},
};
use hashbrown::HashMap;

/// Finds the events of a filter without looking at others.
#[derive(Default)]
pub(crate) struct Index {
    streams: HashMap<StreamName, Vec<Position>>,
    categories: HashMap<String, Vec<Position>>,
    types: HashMap<EventName, Vec<Position>>,
    conversations: HashMap<CorrelationId, Vec<Position>>,
}

/// The lists that one stream's events go into.
pub(crate) struct Places<'a> {
    /// The name as the index holds it; events share its memory.
    pub(crate) stream: StreamName,
    versions: &'a mut Vec<Position>,
    category: &'a mut Vec<Position>,
    types: &'a mut HashMap<EventName, Vec<Position>>,
    conversations: &'a mut HashMap<CorrelationId, Vec<Position>>,
}

impl Index {
    /// The positions of a stream's events: version *v* is at place *v* - 1.
    pub(crate) fn stream(&self, stream: &StreamName) -> &[Position] {
        list(self.streams.get(stream))
    }

    /// Every stream that has events, with their positions.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&StreamName, &[Position])> {
        self.streams.iter().map(|(stream, positions)| (stream, positions.as_slice()))
    }

    /// Prepares for events of one stream; there must be at least one.
    pub(crate) fn open(&mut self, stream: StreamName) -> Places<'_> {
        let category = self.categories.entry_ref(stream.category()).or_default();
        let entry = self.streams.entry(stream);
        Places {
            stream: entry.key().clone(),
            versions: entry.or_default(),
            category,
            types: &mut self.types,
            conversations: &mut self.conversations,
        }
    }

    /// Disjoint lists that together hold every event from `first` to `last` that passes the
    /// filter, and as few others as one index allows; `None` when every event passes.
    pub(crate) fn narrowest(
        &self,
        filter: &Filter,
        first: Position,
        last: Position,
    ) -> Option<Vec<&[Position]>> {
        let cut = |list| between(list, first, last);
        let stream = filter.stream.as_ref().map(|name| vec![cut(self.stream(name))]);
        let conversation =
            filter.correlation_id.map(|id| vec![cut(list(self.conversations.get(&id)))]);
        let categories = distinct(&filter.categories)
            .map(|names| names.map(|name| cut(list(self.categories.get(Category::as_str(name))))))
            .map(Iterator::collect);
        let types = distinct(&filter.types)
            .map(|names| names.map(|name| cut(list(self.types.get(name)))))
            .map(Iterator::collect);
        [stream, conversation, categories, types]
            .into_iter()
            .flatten()
            .min_by_key(|lists: &Vec<&[Position]>| lists.iter().map(|l| l.len()).sum::<usize>())
    }
}

impl Places<'_> {
    /// Files one event. Returns its version and its type's name as the index holds it.
    pub(crate) fn push(
        &mut self,
        position: Position,
        name: EventName,
        conversation: Option<CorrelationId>,
    ) -> (Version, EventName) {
        self.versions.push(position);
        self.category.push(position);
        let entry = self.types.entry(name);
        let name = entry.key().clone();
        entry.or_default().push(position);
        if let Some(id) = conversation {
            self.conversations.entry(id).or_default().push(position);
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

/// The part of an ascending list from `first` to `last`, found by halving.
fn between(list: &[Position], first: Position, last: Position) -> &[Position] {
    let start = list.partition_point(|position| *position < first);
    let end = list.partition_point(|position| *position <= last);
    list.get(start..end).unwrap_or_default()
}

/// Each name once, so that no event is found twice; `None` for no condition.
fn distinct<T: Eq + Hash>(names: &[T]) -> Option<impl Iterator<Item = &T>> {
    (!names.is_empty()).then(|| names.iter().collect::<HashSet<_>>().into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_narrowest_condition_lets_through_is_looked_at() {
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
