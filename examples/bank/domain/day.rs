//! A business day: closed once, at its end.
#![allow(missing_docs, reason = "fields are named in the bank's own words")]

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use cqrs_core::{Aggregate, Command, Event, Timestamp};
use serde::{Deserialize, Serialize};

/// Which day, in UTC: `2026-03-02`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(String);

impl Day {
    /// How long one is.
    pub const LENGTH: Duration = Duration::from_secs(24 * 60 * 60);

    /// The day of a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let text = moment.to_string();
        Self(text.split_once('T').map_or(text.clone(), |(day, _)| day.to_owned()))
    }

    /// The day that ends at a moment.
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusinessDay {
    #[default]
    Open,
    Closed,
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = BusinessDay, id = day)]
pub struct CloseDay {
    pub day: Day,
    pub at: Timestamp,
}

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

    /// A day that is closed already stays as it is.
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
