//! Printing errors with their causes, and pauses between attempts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Returns an error and its causes on one line, separated by colons.
///
/// The errors of this crate do not repeat their cause in their own message, so that it is not
/// printed twice. Use this where an error ends up in one line of text, such as a log or a terminal.
///
/// ```
/// use cqrs_core::error_chain;
/// use cqrs_core::store::{ReadError, StoreError, StoreErrorKind};
///
/// let cause = StoreError::new(StoreErrorKind::Unavailable, "connection refused");
/// let error = ReadError::from(cause);
/// assert!(error_chain(&error).ends_with(": connection refused"));
/// ```
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

/// Returns an endless sequence of pauses. Each is about twice as long as the one before it, with
/// random jitter, up to the longest.
pub(crate) fn pauses(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}
