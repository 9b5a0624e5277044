//! What is done each midnight: the day is closed.

use cqrs::{Timestamp, process::RecurringCommand};

use crate::domain::day::{CloseDay, Day};

/// Closes each day at its end, in UTC; days at which nothing was running are closed later.
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
