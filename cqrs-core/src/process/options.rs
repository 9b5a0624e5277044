//! How processes and handlers are run.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::projection::FailurePolicy;
use crate::subscription::Start;

/// How a process is run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// How many instances have a command on its way at once.
    pub in_flight: usize,
    /// How often a command is sent again that nobody answered, before its instance waits for an
    /// operator. What an aggregate refuses is an answer. Also how often an event is tried again
    /// that cannot be read or routed, before the process stands still.
    pub retries: u32,
    /// The pause before the first repetition; each is twice as long as the one before it, up to
    /// the longest.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long an answer is waited for.
    pub deadline: Duration,
    /// Where a process begins that is new.
    pub start: Start,
}

impl ProcessOptions {
    /// 64 commands on their way at once; ten repetitions over about a minute; 30 seconds for an
    /// answer.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            in_flight: 64,
            retries: 10,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(15),
            deadline: Duration::from_secs(30),
            start: Start::Origin,
        }
    }

    /// Sets how many instances have a command on its way at once; 0 counts as 1.
    #[must_use]
    pub const fn in_flight(mut self, instances: usize) -> Self {
        self.in_flight = if instances == 0 { 1 } else { instances };
        self
    }

    /// Sets how often a command is sent again that nobody answered.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the first and the longest pause.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest.max(first);
        self
    }

    pub(super) fn pauses_between(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(usize::try_from(self.retries).unwrap_or(usize::MAX))
            .build()
    }

    /// Sets where the process begins when it is new: with the first event there is unless it is
    /// said otherwise. Without effect once it has begun.
    #[must_use]
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets how long an answer is waited for.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How a handler is run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HandlerOptions {
    /// How many events, of different keys, are handled at once. So many may be handled again after
    /// a crash.
    pub concurrency: usize,
    /// What happens when it fails.
    pub on_failure: FailurePolicy,
    /// Where a handler begins that is new.
    pub start: Start,
}

impl HandlerOptions {
    /// One event at once, from the first there is; what fails is put aside after the retries of
    /// [`FailurePolicy::park`], with the later events of its key.
    #[must_use]
    pub const fn new() -> Self {
        Self { concurrency: 1, on_failure: FailurePolicy::park(), start: Start::Origin }
    }

    /// Sets how many events of different keys are handled at once; 0 counts as 1.
    #[must_use]
    pub const fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = if events == 0 { 1 } else { events };
        self
    }

    /// Sets what happens when the handler fails.
    #[must_use]
    pub const fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.on_failure = policy;
        self
    }

    /// Sets where the handler begins when it is new. Without effect once it has begun.
    #[must_use]
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self::new()
    }
}
