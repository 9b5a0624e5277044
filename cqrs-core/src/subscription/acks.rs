//! What was delivered and not yet acknowledged.

use std::collections::BTreeSet;

use crate::Position;

/// An acknowledgement of something that is not in flight: never delivered, acknowledged before,
/// or delivered under a claim that is lost. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event at position {position} is not in flight")]
#[non_exhaustive]
pub struct UnexpectedAck {
    /// The position.
    pub position: Position,
}

/// Events from their arrival to their acknowledgement.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Everything up to here has arrived or did not pass the filter.
    through: Position,
    /// What arrived and is not acknowledged, delivered or not.
    open: BTreeSet<Position>,
    /// The last that was delivered.
    delivered: Position,
    /// How many of the open ones were delivered.
    unacked: usize,
    /// Acknowledgements since the checkpoint was last saved.
    pub(super) unsaved: u64,
    pub(super) saved: Position,
}

impl InFlight {
    pub(super) const fn behind(checkpoint: Position) -> Self {
        Self {
            through: checkpoint,
            open: BTreeSet::new(),
            delivered: checkpoint,
            unacked: 0,
            unsaved: 0,
            saved: checkpoint,
        }
    }

    pub(super) fn arrived(&mut self, events: impl Iterator<Item = Position>, through: Position) {
        self.open.extend(events);
        self.through = self.through.max(through);
    }

    pub(super) fn deliver(&mut self, position: Position) {
        self.delivered = position;
        self.unacked += 1;
    }

    pub(super) const fn unacked(&self) -> usize {
        self.unacked
    }

    /// Everything delivered up to here, which must be in flight itself.
    pub(super) fn ack_through(&mut self, position: Position) -> Result<(), UnexpectedAck> {
        self.expect(position)?;
        let rest = self.open.split_off(&position.next());
        self.unacked -= self.open.len();
        self.unsaved += self.open.len() as u64;
        self.open = rest;
        Ok(())
    }

    /// Just this one.
    pub(super) fn ack_one(&mut self, position: Position) -> Result<(), UnexpectedAck> {
        self.expect(position)?;
        self.open.remove(&position);
        self.unacked -= 1;
        self.unsaved += 1;
        Ok(())
    }

    fn expect(&self, position: Position) -> Result<(), UnexpectedAck> {
        if position <= self.delivered && self.open.contains(&position) {
            Ok(())
        } else {
            Err(UnexpectedAck { position })
        }
    }

    /// The highest position at and below which nothing is open.
    pub(super) fn checkpoint(&self) -> Position {
        match self.open.first() {
            Some(open) => Position::new(open.get().saturating_sub(1)),
            None => self.through,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(positions: std::ops::RangeInclusive<u64>) -> InFlight {
        let mut flight = InFlight::behind(Position::START);
        flight.arrived(positions.clone().map(Position::new), Position::new(*positions.end()));
        positions.for_each(|position| flight.deliver(Position::new(position)));
        flight
    }

    #[test]
    fn the_checkpoint_waits_for_the_lowest_open_event() {
        let mut flight = delivered(1..=8);
        for (acked, checkpoint) in [(1, 1), (2, 2), (3, 3), (6, 3), (5, 3), (4, 6), (7, 7), (8, 8)]
        {
            flight.ack_one(Position::new(acked)).unwrap();
            assert_eq!(flight.checkpoint().get(), checkpoint, "after {acked}");
        }
    }

    #[test]
    fn what_is_not_in_flight_cannot_be_acknowledged() {
        let mut flight = InFlight::behind(Position::new(2));
        flight.arrived([3, 4, 7].map(Position::new).into_iter(), Position::new(9));
        flight.deliver(Position::new(3));
        for wrong in [0, 2, 4, 5, 7, 9] {
            flight.ack_one(Position::new(wrong)).unwrap_err();
            flight.ack_through(Position::new(wrong)).unwrap_err();
        }
        assert_eq!((flight.checkpoint().get(), flight.unacked()), (2, 1));
        flight.ack_through(Position::new(3)).unwrap();
        flight.ack_through(Position::new(3)).unwrap_err();
        assert_eq!((flight.checkpoint().get(), flight.unacked()), (3, 0));
    }

    #[test]
    fn an_acknowledgement_covers_what_was_delivered_before() {
        let mut flight = delivered(1..=5);
        flight.ack_one(Position::new(2)).unwrap();
        flight.ack_through(Position::new(4)).unwrap();
        assert_eq!((flight.checkpoint().get(), flight.unacked(), flight.unsaved), (4, 1, 4));
    }

    #[test]
    fn what_does_not_pass_the_filter_is_done_when_it_was_looked_at() {
        let mut flight = InFlight::behind(Position::START);
        flight.arrived(std::iter::empty(), Position::new(6));
        assert_eq!(flight.checkpoint().get(), 6);
        flight.arrived([Position::new(9)].into_iter(), Position::new(12));
        assert_eq!(flight.checkpoint().get(), 8);
        flight.deliver(Position::new(9));
        flight.ack_one(Position::new(9)).unwrap();
        assert_eq!(flight.checkpoint().get(), 12);
    }
}
