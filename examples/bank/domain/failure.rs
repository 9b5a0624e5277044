//! Why transfers fail.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a transfer came to nothing. Stored as `insufficient-funds`, shown as "insufficient funds".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureReason {
    /// The source was never opened.
    SourceNotFound,
    /// The source has been closed.
    SourceClosed,
    /// The source holds less than the amount.
    InsufficientFunds,
    /// The target was never opened.
    TargetNotFound,
    /// The target has been closed.
    TargetClosed,
    /// The target cannot hold that much.
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
            Self::TargetFull => "target account full",
            Self::TimedOut => "timed out",
        })
    }
}
