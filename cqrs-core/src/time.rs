//! Moments, and where they come from.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC with microsecond precision, the finest that databases keep.
///
/// Written and read as RFC 3339, for example `2026-11-20T09:30:00.25Z`.
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
    /// The start of 1970, UTC.
    pub const UNIX_EPOCH: Self = Self(0);
    /// The earliest moment: the start of the year -4712, the first that Postgres can store.
    pub const MIN: Self = Self(-210_866_803_200_000_000);
    /// The latest moment: the end of the year 9999 less a day, so that every zone can print it.
    pub const MAX: Self = Self(253_402_207_200_000_000);

    /// Microseconds since 1970; what lies outside [`MIN`](Self::MIN) and [`MAX`](Self::MAX) is
    /// moved to the nearer of the two.
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

    /// Microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This much later; stops at [`MAX`](Self::MAX).
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// This much earlier; stops at [`MIN`](Self::MIN).
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// The first moment behind this one that is a multiple of a period since 1970, in UTC: the next
    /// full hour, the end of the day. A period of zero counts as a microsecond.
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

    /// The time from `earlier` until this moment; zero when `earlier` is not earlier.
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
            // Unreachable between MIN and MAX, which every constructor keeps to.
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// The text is not a moment in RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a moment such as 2026-11-20T09:30:00Z")]
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

/// Where the time comes from. Handed to everything that needs it, so that a test can stand still
/// or jump a month.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
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
    fn text_and_back_for_the_whole_range() {
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
    fn a_difference_is_never_negative() {
        let later = Timestamp::UNIX_EPOCH.plus(Duration::from_secs(5));
        assert_eq!(later.since(Timestamp::UNIX_EPOCH), Duration::from_secs(5));
        assert_eq!(Timestamp::UNIX_EPOCH.since(later), Duration::ZERO);
    }
}
