//! Quantities of pieces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of pieces: 1 to 9,223,372,036,854,775,807.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Quantity(u64);

/// Why a number is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// Such as `1.5`, `ten` or an empty text.
    #[error("not a whole number")]
    NotAWholeNumber,
    /// Such as `0` or `-1`.
    #[error("must be more than zero")]
    NotPositive,
    /// Larger than [`Quantity::MAX`].
    #[error("too large")]
    TooLarge,
}

impl Quantity {
    /// The maximum, which fits into a `bigint` column.
    pub const MAX: u64 = i64::MAX as u64;

    /// Returns the number of pieces.
    #[must_use]
    pub const fn pieces(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(pieces: u64) -> Result<Self, InvalidQuantity> {
        match pieces {
            0 => Err(InvalidQuantity::NotPositive),
            1..=Self::MAX => Ok(Self(pieces)),
            _ => Err(InvalidQuantity::TooLarge),
        }
    }
}

impl From<Quantity> for u64 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidQuantity::NotAWholeNumber);
        }
        if text.starts_with('-') {
            return Err(InvalidQuantity::NotPositive);
        }
        text.parse::<u64>().map_err(|_| InvalidQuantity::TooLarge)?.try_into()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_quantities_report_the_reason() {
        for (text, reason) in [
            ("", InvalidQuantity::NotAWholeNumber),
            ("1.5", InvalidQuantity::NotAWholeNumber),
            ("ten", InvalidQuantity::NotAWholeNumber),
            ("1e3", InvalidQuantity::NotAWholeNumber),
            ("null", InvalidQuantity::NotAWholeNumber),
            ("0", InvalidQuantity::NotPositive),
            ("-1", InvalidQuantity::NotPositive),
            ("1000000000000000000000000000000", InvalidQuantity::TooLarge),
            ("9223372036854775808", InvalidQuantity::TooLarge),
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(reason), "{text}");
        }
        assert_eq!("9223372036854775807".parse::<Quantity>().unwrap().pieces(), Quantity::MAX);
        for json in ["0", "-1", "1.5", "\"10\"", "null", "9223372036854775808"] {
            assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::from_str::<Quantity>("10").unwrap().pieces(), 10);
    }
}
