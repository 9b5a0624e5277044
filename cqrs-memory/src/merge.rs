//! Reads several ascending lists as one.

use std::collections::BinaryHeap;

use cqrs_core::{Position, store::Direction};

/// Iterates over the positions of disjoint ascending lists in the order of one direction.
///
/// A position costs O(log n) for n lists.
pub(crate) struct Merge<'a> {
    direction: Direction,
    /// The rest of each list; the list with the next position is on top.
    lists: BinaryHeap<(u64, &'a [Position])>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(lists: Vec<&'a [Position]>, direction: Direction) -> Self {
        let mut merge = Self { direction, lists: BinaryHeap::with_capacity(lists.len()) };
        lists.into_iter().for_each(|list| merge.push(list));
        merge
    }

    fn push(&mut self, list: &'a [Position]) {
        // The greatest rank is on top of the heap.
        let rank = match self.direction {
            Direction::Forward => list.first().map(|position| u64::MAX - position.get()),
            Direction::Backward => list.last().map(|position| position.get()),
        };
        if let Some(rank) = rank {
            self.lists.push((rank, list));
        }
    }
}

impl Iterator for Merge<'_> {
    type Item = Position;

    fn next(&mut self) -> Option<Position> {
        let (_, list) = self.lists.pop()?;
        let (next, rest) = match self.direction {
            Direction::Forward => list.split_first()?,
            Direction::Backward => list.split_last()?,
        };
        self.push(rest);
        Some(*next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_merged_in_both_directions() {
        let list = |numbers: &[u64]| numbers.iter().map(|n| Position::new(*n)).collect::<Vec<_>>();
        let lists = [list(&[2, 3, 9]), list(&[]), list(&[1, 10]), list(&[5])];
        let merged = |direction| {
            let lists = lists.iter().map(Vec::as_slice).collect();
            Merge::new(lists, direction).map(Position::get).collect::<Vec<_>>()
        };
        assert_eq!(merged(Direction::Forward), [1, 2, 3, 5, 9, 10]);
        assert_eq!(merged(Direction::Backward), [10, 9, 5, 3, 2, 1]);
    }
}
