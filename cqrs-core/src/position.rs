//! The place of an event: its version in its stream and its position in the log.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($name:ident) => {
        impl $name {
            /// Wraps a number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Returns the number after this one. Saturates at the maximum.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// Adds a count to the number. Saturates at the maximum.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// The place of an event in its stream: 1, 2, 3 ... without gaps.
///
/// The version *of a stream* is that of its last event. A stream without events is at
/// [`Version::ZERO`].
///
/// ```
/// use cqrs_core::Version;
///
/// assert_eq!(Version::ZERO.next(), Version::new(1));
/// assert_eq!(Version::new(7).plus(3).get(), 10);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The version of a stream without events.
    pub const ZERO: Self = Self(0);
}

/// The place of an event in the log: 1, 2, 3 ... without gaps, in the order of commits.
///
/// If an event is readable, all events at lower positions are readable too and will not change.
///
/// ```
/// use cqrs_core::Position;
///
/// assert!(Position::START < Position::new(1));
/// assert_eq!(Position::new(41).next(), Position::new(42));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// The position before the first event.
    pub const START: Self = Self(0);
}

number!(Version);
number!(Position);

/// The version a stream must be at for an append to succeed.
///
/// This enum is exhaustive because a store must handle every case.
///
/// ```
/// use cqrs_core::{ExpectedVersion, Version};
///
/// assert!(ExpectedVersion::NoStream.accepts(Version::ZERO));
/// assert!(!ExpectedVersion::from(Version::new(7)).accepts(Version::new(8)));
/// assert!(ExpectedVersion::Any.accepts(Version::new(8)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectedVersion {
    /// Any version: the append never conflicts.
    Any,
    /// The stream has no events. Equivalent to `Exact(Version::ZERO)`.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream is at exactly this version.
    Exact(Version),
}

impl ExpectedVersion {
    /// Returns `true` if a stream at version `actual` meets the expectation.
    #[must_use]
    pub fn accepts(self, actual: Version) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == Version::ZERO,
            Self::StreamExists => actual > Version::ZERO,
            Self::Exact(version) => actual == version,
        }
    }
}

impl From<Version> for ExpectedVersion {
    fn from(version: Version) -> Self {
        Self::Exact(version)
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no stream"),
            Self::StreamExists => f.write_str("an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}
