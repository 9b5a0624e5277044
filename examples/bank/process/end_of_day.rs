//! Closing each day at midnight.

use cqrs::{Timestamp, process::RecurringCommand};

use crate::domain::day::{CloseDay, Day};

/// Closes each day at midnight, in UTC. Days that ended while the bank was not running are closed
/// at the next start.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndOfDay;

impl RecurringCommand for EndOfDay {
    type Command = CloseDay;
    const NAME: &'static str = "end_of_day";

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        Some(after.next_multiple_of(Day::LENGTH))
    }

    fn command(&self, midnight: Timestamp) -> CloseDay {
        CloseDay { day: Day::ending(midnight), at: midnight }
    }
}
