//! The reasons why transfers fail.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a transfer failed. Stored as `insufficient-funds`, displayed as "insufficient funds".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureReason {
    /// The source account was never opened.
    SourceNotFound,
    /// The source account is closed.
    SourceClosed,
    /// The balance of the source account is less than the amount.
    InsufficientFunds,
    /// The target account was never opened.
    TargetNotFound,
    /// The target account is closed.
    TargetClosed,
    /// The balance of the target account would exceed the maximum.
    TargetFull,
    /// A step took too long.
    TimedOut,
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SourceNotFound => "source account not found",
            Self::SourceClosed => "source account closed",
            Self::InsufficientFunds => "insufficient funds",
            Self::TargetNotFound => "target account not found",
            Self::TargetClosed => "target account closed",
            Self::TargetFull => "balance of the target account too large",
            Self::TimedOut => "timed out",
        })
    }
}
