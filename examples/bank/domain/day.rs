//! A business day, which is closed once, at its end.
#![allow(missing_docs, reason = "the names of fields and variants say it all")]

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use cqrs_core::{Aggregate, Command, Event, Timestamp};
use serde::{Deserialize, Serialize};

/// A day in UTC, such as `2026-03-02`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(String);

impl Day {
    /// The length of a day: 24 hours.
    pub const LENGTH: Duration = Duration::from_secs(24 * 60 * 60);

    /// Returns the day that contains a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let text = moment.to_string();
        Self(text.split_once('T').map_or(text.clone(), |(day, _)| day.to_owned()))
    }

    /// Returns the day that ends at a moment, which is midnight.
    #[must_use]
    pub fn ending(moment: Timestamp) -> Self {
        Self::of(moment.minus(Duration::from_micros(1)))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The state of a business day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusinessDay {
    #[default]
    Open,
    Closed,
}

/// Closes a day.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = BusinessDay, id = day)]
pub struct CloseDay {
    pub day: Day,
    pub at: Timestamp,
}

/// Every event of a business day.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum DayEvent {
    #[event(name = "bank.day-closed")]
    DayClosed { day: Day, at: Timestamp },
}

impl Aggregate for BusinessDay {
    const CATEGORY: &'static str = "day";
    type Id = Day;
    type Command = CloseDay;
    type Event = DayEvent;
    type Error = Infallible;

    /// Closing a closed day has no effect.
    fn execute(&self, command: CloseDay) -> Result<Vec<DayEvent>, Infallible> {
        let CloseDay { day, at } = command;
        match self {
            Self::Open => Ok(vec![DayEvent::DayClosed { day, at }]),
            Self::Closed => Ok(Vec::new()),
        }
    }

    fn apply(&mut self, DayEvent::DayClosed { .. }: &DayEvent) {
        *self = Self::Closed;
    }
}
