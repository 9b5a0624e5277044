//! What happens when a projector fails.

use std::time::Duration;

use backon::ExponentialBackoff;

use crate::failures::pauses;

/// What follows when trying again did not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The partition stands still at the event, visibly, until somebody resumes it. Nothing is
    /// left out.
    Stop,
    /// The event is put aside together with the later ones of its key, in order, until somebody
    /// retries or discards it. Other keys go on.
    Park,
}

/// How a failing projector is treated. Failure of the read store itself, such as a lost
/// connection or a deadlock, does not count: it is tried again until it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailurePolicy {
    /// How often an event is tried again.
    pub retries: u32,
    /// The first pause; each further one is twice as long, give or take some at random.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// What follows then.
    pub then: Then,
    /// What follows when an event cannot be decoded, for which trying again is no use.
    pub undecodable: Then,
}

impl FailurePolicy {
    /// Five more tries within half a minute, then stop. Stops at once at what cannot be decoded.
    #[must_use]
    pub const fn stop() -> Self {
        Self {
            retries: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            then: Then::Stop,
            undecodable: Then::Stop,
        }
    }

    /// Five more tries within half a minute, then park. Still stops at what cannot be decoded.
    #[must_use]
    pub const fn park() -> Self {
        Self { then: Then::Park, ..Self::stop() }
    }

    /// Sets how often an event is tried again.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the first and the longest pause between tries, each at least a millisecond and at
    /// most a day.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(86_400));
        self.first_pause = first.clamp(least, most);
        self.longest_pause = longest.clamp(self.first_pause, most);
        self
    }

    /// Sets what follows when an event cannot be decoded.
    #[must_use]
    pub const fn undecodable(mut self, then: Then) -> Self {
        self.undecodable = then;
        self
    }

    pub(super) fn backoff(&self) -> ExponentialBackoff {
        pauses(self.first_pause, self.longest_pause)
    }
}

impl Default for FailurePolicy {
    fn default() -> Self {
        Self::stop()
    }
}
