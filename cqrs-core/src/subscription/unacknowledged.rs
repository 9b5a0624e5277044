//! Which events were delivered but not acknowledged, and the checkpoint that results.

use std::collections::BTreeSet;

use crate::Position;

/// The events of a durable subscription from their arrival to their acknowledgement.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    /// Every event up to here has arrived or did not pass the filter.
    arrived_through: Position,
    /// The events that have arrived and are not acknowledged, delivered or not.
    pending: BTreeSet<Position>,
    /// The event that was delivered last.
    last_delivered: Position,
    /// How many pending events were delivered.
    delivered: usize,
    /// Acknowledgements since the checkpoint was last saved.
    pub(super) unsaved: u64,
    /// The checkpoint that was last saved.
    pub(super) saved: Position,
}

impl Unacknowledged {
    pub(super) const fn after(checkpoint: Position) -> Self {
        Self {
            arrived_through: checkpoint,
            pending: BTreeSet::new(),
            last_delivered: checkpoint,
            delivered: 0,
            unsaved: 0,
            saved: checkpoint,
        }
    }

    pub(super) fn arrive(&mut self, events: impl Iterator<Item = Position>, through: Position) {
        self.pending.extend(events);
        self.arrived_through = self.arrived_through.max(through);
    }

    pub(super) fn deliver(&mut self, position: Position) {
        self.last_delivered = position;
        self.delivered += 1;
    }

    /// Returns the number of events that were delivered but not acknowledged.
    pub(super) const fn delivered(&self) -> usize {
        self.delivered
    }

    /// Acknowledges this event and every event delivered before it. Returns `false` and changes
    /// nothing if this event is not waiting for an acknowledgement.
    pub(super) fn ack_through(&mut self, position: Position) -> bool {
        if !self.is_delivered(position) {
            return false;
        }
        let rest = self.pending.split_off(&position.next());
        self.delivered -= self.pending.len();
        self.unsaved += self.pending.len() as u64;
        self.pending = rest;
        true
    }

    /// Acknowledges only this event. Returns `false` and changes nothing if it is not waiting for
    /// an acknowledgement.
    pub(super) fn ack_one(&mut self, position: Position) -> bool {
        if !self.is_delivered(position) {
            return false;
        }
        self.pending.remove(&position);
        self.delivered -= 1;
        self.unsaved += 1;
        true
    }

    fn is_delivered(&self, position: Position) -> bool {
        position <= self.last_delivered && self.pending.contains(&position)
    }

    /// Returns the highest position up to which no event is pending.
    pub(super) fn checkpoint(&self) -> Position {
        match self.pending.first() {
            Some(first) => Position::new(first.get().saturating_sub(1)),
            None => self.arrived_through,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(positions: std::ops::RangeInclusive<u64>) -> Unacknowledged {
        let mut events = Unacknowledged::after(Position::START);
        events.arrive(positions.clone().map(Position::new), Position::new(*positions.end()));
        positions.for_each(|position| events.deliver(Position::new(position)));
        events
    }

    #[test]
    fn the_checkpoint_is_before_the_lowest_pending_event() {
        let mut events = delivered(1..=8);
        for (acked, checkpoint) in [(1, 1), (2, 2), (3, 3), (6, 3), (5, 3), (4, 6), (7, 7), (8, 8)]
        {
            assert!(events.ack_one(Position::new(acked)));
            assert_eq!(events.checkpoint().get(), checkpoint, "after {acked}");
        }
    }

    #[test]
    fn only_a_delivered_event_can_be_acknowledged() {
        let mut events = Unacknowledged::after(Position::new(2));
        events.arrive([3, 4, 7].map(Position::new).into_iter(), Position::new(9));
        events.deliver(Position::new(3));
        for wrong in [0, 2, 4, 5, 7, 9] {
            assert!(!events.ack_one(Position::new(wrong)));
            assert!(!events.ack_through(Position::new(wrong)));
        }
        assert_eq!((events.checkpoint().get(), events.delivered()), (2, 1));
        assert!(events.ack_through(Position::new(3)));
        assert!(!events.ack_through(Position::new(3)));
        assert_eq!((events.checkpoint().get(), events.delivered()), (3, 0));
    }

    #[test]
    fn acknowledging_through_an_event_covers_those_delivered_before() {
        let mut events = delivered(1..=5);
        assert!(events.ack_one(Position::new(2)));
        assert!(events.ack_through(Position::new(4)));
        assert_eq!((events.checkpoint().get(), events.delivered(), events.unsaved), (4, 1, 4));
    }

    #[test]
    fn an_event_that_does_not_pass_the_filter_needs_no_acknowledgement() {
        let mut events = Unacknowledged::after(Position::START);
        events.arrive(std::iter::empty(), Position::new(6));
        assert_eq!(events.checkpoint().get(), 6);
        events.arrive([Position::new(9)].into_iter(), Position::new(12));
        assert_eq!(events.checkpoint().get(), 8);
        events.deliver(Position::new(9));
        assert!(events.ack_one(Position::new(9)));
        assert_eq!(events.checkpoint().get(), 12);
    }
}
