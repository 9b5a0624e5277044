//! What happens when a consumer fails.

use std::time::Duration;

use backon::ExponentialBackoff;

use crate::failures::pauses;

/// What happens to an event that still fails after all retries.
///
/// ```
/// use cqrs_core::projection::{FailureAction, FailurePolicy};
///
/// // Park events that fail, but stop at events that cannot be decoded, as after a bad deployment.
/// let policy = FailurePolicy::park().undecodable(FailureAction::Stop);
/// assert_eq!(policy.action, FailureAction::Park);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// The partition stops at the event until an operator resumes the consumer. No event is
    /// skipped.
    Stop,
    /// The event is parked, together with the later ones of its key, until an operator retries or
    /// discards it. Other keys continue.
    #[doc(alias = "dead letter")]
    Park,
}

/// How failures of a consumer are handled. Transient failures of the read store, such as a lost
/// connection or a deadlock, do not count: they are retried without limit.
///
/// ```
/// use std::time::Duration;
/// use cqrs_core::projection::{FailureAction, FailurePolicy};
///
/// let policy = FailurePolicy::park()
///     .retries(2)
///     .pauses(Duration::from_millis(100), Duration::from_secs(1))
///     .undecodable(FailureAction::Park);
/// assert_eq!(policy.action, FailureAction::Park);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailurePolicy {
    /// The maximum number of retries of an event. Default: 5.
    pub retries: u32,
    /// The pause before the first retry. Each later pause is about twice as long, with jitter.
    /// Default: 1 second.
    pub first_pause: Duration,
    /// The longest pause. Default: 60 seconds.
    pub longest_pause: Duration,
    /// What happens after the last retry.
    pub action: FailureAction,
    /// What happens to an event that cannot be decoded, which is not retried. Default:
    /// [`FailureAction::Stop`].
    pub undecodable: FailureAction,
}

impl FailurePolicy {
    /// Stops the partition after 5 retries within about half a minute, or immediately if the event
    /// cannot be decoded.
    #[must_use]
    pub const fn stop() -> Self {
        Self {
            retries: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            action: FailureAction::Stop,
            undecodable: FailureAction::Stop,
        }
    }

    /// Parks the event after 5 retries within about half a minute. Stops the partition immediately
    /// if the event cannot be decoded.
    #[must_use]
    pub const fn park() -> Self {
        Self { action: FailureAction::Park, ..Self::stop() }
    }

    /// Sets the maximum number of retries of an event.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the first and the longest pause between retries. Both are at least a millisecond and
    /// at most a day; other values are clamped.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(86_400));
        self.first_pause = first.clamp(least, most);
        self.longest_pause = longest.clamp(self.first_pause, most);
        self
    }

    /// Sets what happens to an event that cannot be decoded.
    #[must_use]
    pub const fn undecodable(mut self, action: FailureAction) -> Self {
        self.undecodable = action;
        self
    }

    pub(super) fn backoff(&self) -> ExponentialBackoff {
        pauses(self.first_pause, self.longest_pause)
    }
}

impl Default for FailurePolicy {
    /// Returns [`FailurePolicy::stop`].
    fn default() -> Self {
        Self::stop()
    }
}
