//! Timestamps and clocks.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in UTC with microsecond precision, the highest that common databases store.
///
/// Displayed, parsed and serialized as RFC 3339, for example `2026-11-20T09:30:00.25Z`.
///
/// ```
/// use cqrs_core::Timestamp;
///
/// let moment: Timestamp = "2026-11-20T10:30:00+01:00".parse()?;
/// assert_eq!(moment.to_string(), "2026-11-20T09:30:00Z");
/// # Ok::<(), cqrs_core::event::InvalidTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The start of the year 1970 in UTC.
    pub const UNIX_EPOCH: Self = Self(0);
    /// The earliest time: 24 November 4714 BC, the first day that Postgres can store.
    pub const MIN: Self = Self(-210_866_803_200_000_000);
    /// The latest time: 26 hours before the end of the year 9999, so that it can be displayed in
    /// every time zone.
    pub const MAX: Self = Self(253_402_207_200_000_000);

    /// Creates a timestamp from microseconds since 1970. Values outside the range are clamped to
    /// [`MIN`](Self::MIN) or [`MAX`](Self::MAX).
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Returns the microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Adds a duration. Saturates at [`MAX`](Self::MAX).
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// Subtracts a duration. Saturates at [`MIN`](Self::MIN).
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// Returns the first time after this one that is a whole number of periods after the start of
    /// 1970 in UTC, for example the next full hour or the next midnight. A period of zero counts as
    /// one microsecond.
    ///
    /// ```
    /// # use {cqrs_core::Timestamp, std::time::Duration};
    /// let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
    /// let late = Timestamp::UNIX_EPOCH.plus(day * 2 + hour * 23);
    /// assert_eq!(late.next_multiple_of(hour), Timestamp::UNIX_EPOCH.plus(day * 3));
    /// assert_eq!(late.next_multiple_of(day), Timestamp::UNIX_EPOCH.plus(day * 3));
    /// ```
    #[must_use]
    pub fn next_multiple_of(self, period: Duration) -> Self {
        let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
        Self::from_micros(self.0.saturating_add(period.saturating_sub(self.0.rem_euclid(period))))
    }

    /// Returns the duration from `earlier` until this time, or zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self::UNIX_EPOCH.plus(after),
            Err(before) => Self::UNIX_EPOCH.minus(before.duration()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(moment: Timestamp) -> Self {
        let distance = Duration::from_micros(moment.0.unsigned_abs());
        let shifted = if moment.0 < 0 {
            Self::UNIX_EPOCH.checked_sub(distance)
        } else {
            Self::UNIX_EPOCH.checked_add(distance)
        };
        shifted.unwrap_or(Self::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => fmt::Display::fmt(&moment, f),
            // Unreachable: every constructor keeps to the range from MIN to MAX.
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// The error of parsing text that is not an RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time such as 2026-11-20T09:30:00Z")]
pub struct InvalidTimestamp {
    text: String,
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        text.parse::<jiff::Timestamp>()
            .map(|moment| Self::from_micros(moment.as_microsecond()))
            .map_err(|_| InvalidTimestamp { text: text.chars().take(64).collect() })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Provides the current time. Pass your own to the builders of stores, applications and processes,
/// for example so that a test can stop the time or advance it by a month.
///
/// ```
/// use cqrs_core::{Timestamp, app::Clock};
///
/// #[derive(Debug)]
/// struct Stopped(Timestamp);
///
/// impl Clock for Stopped {
///     fn now(&self) -> Timestamp {
///         self.0
///     }
/// }
///
/// let store = cqrs_memory::MemoryStore::builder().clock(Stopped(Timestamp::UNIX_EPOCH)).build();
/// # let _ = store;
/// assert_eq!(Stopped(Timestamp::UNIX_EPOCH).now().to_string(), "1970-01-01T00:00:00Z");
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
///
/// ```
/// use cqrs_core::{Timestamp, app::{Clock, SystemClock}};
///
/// assert!(SystemClock.now() > Timestamp::UNIX_EPOCH);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timestamp_can_be_parsed_from_its_display() {
        for moment in [
            Timestamp::MIN,
            Timestamp::from_micros(-1),
            Timestamp::UNIX_EPOCH,
            Timestamp::from_micros(1),
            Timestamp::MAX,
        ] {
            assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
            assert_eq!(Timestamp::from(SystemTime::from(moment)), moment);
        }
        assert_eq!(Timestamp::from_micros(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_micros(i64::MIN), Timestamp::MIN);
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_duration_between_timestamps_is_never_negative() {
        let later = Timestamp::UNIX_EPOCH.plus(Duration::from_secs(5));
        assert_eq!(later.since(Timestamp::UNIX_EPOCH), Duration::from_secs(5));
        assert_eq!(Timestamp::UNIX_EPOCH.since(later), Duration::ZERO);
    }
}
