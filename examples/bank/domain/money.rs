//! Exact amounts of money.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in euros, as a whole number of cents; it may be negative.
///
/// Stored as text such as `"125.50"`, which is exact for every reader and can be cast to `numeric` in SQL.
/// Many readers would convert a JSON number to a binary float.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// 0.00
    pub const ZERO: Self = Self(0);
    /// The largest amount: about 92 quadrillion euros.
    pub const MAX: Self = Self(i64::MAX);

    /// Creates an amount from cents.
    #[must_use]
    pub const fn cents(cents: i64) -> Self {
        Self(cents)
    }

    /// Returns the number of cents.
    #[must_use]
    pub const fn to_cents(self) -> i64 {
        self.0
    }

    /// Returns the amount with the opposite sign. The negation of the smallest amount does not fit and
    /// becomes [`MAX`](Self::MAX).
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// Returns the sum, or `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Returns the difference, or `None` on overflow.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

/// Always with two decimals: `125.50`, `-0.01`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{:02}", cents / 100, cents % 100))
    }
}

/// Why a text is not an amount. Amounts are never rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Not a number such as `125.50`.
    #[error("not an amount such as 125.50")]
    NotAnAmount,
    /// More than two decimals.
    #[error("more than two decimals")]
    TooPrecise,
    /// Larger than [`Money::MAX`].
    #[error("too large")]
    TooLarge,
}

/// Accepts `125`, `125.5`, `125.50` and `-3.00`.
impl FromStr for Money {
    type Err = InvalidMoney;

    fn from_str(text: &str) -> Result<Self, InvalidMoney> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (euros, cents) = digits.split_once('.').unwrap_or((digits, "00"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(euros) || !all_digits(cents) {
            return Err(InvalidMoney::NotAnAmount);
        }
        if cents.len() > 2 {
            return Err(InvalidMoney::TooPrecise);
        }
        // Only digits are left, so the one possible error is an overflow.
        let total: Result<i128, _> = format!("{euros}{cents:0<2}").parse();
        let total = total.ok().and_then(|total| i64::try_from(sign * total).ok());
        total.map(Self).ok_or(InvalidMoney::TooLarge)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
