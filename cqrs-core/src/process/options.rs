//! Options of processes and handlers.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::projection::FailurePolicy;
use crate::subscription::Start;

/// How a process runs.
///
/// ```
/// use cqrs_core::process::ProcessOptions;
/// use std::time::Duration;
///
/// let options = ProcessOptions::new().in_flight(8).deadline(Duration::from_secs(5));
/// assert_eq!(options.in_flight, 8);
/// assert_eq!(options.retries, 10);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// The maximum number of instances with a command in flight. Default: 64.
    pub in_flight: usize,
    /// How many times a failed command is sent again before its instance is suspended. A rejection
    /// is an answer, not a failure. Also how many times an event that cannot be decoded or routed
    /// is retried before the process stops. Default: 10.
    pub retries: u32,
    /// The pause before the first retry; it doubles with each further retry. Default: 50 ms.
    pub first_pause: Duration,
    /// The longest pause between retries. Default: 15 seconds.
    pub longest_pause: Duration,
    /// The deadline of each attempt to send a command. Default: 30 seconds.
    pub deadline: Duration,
    /// Where a new process starts in the log. Default: at the first event.
    pub start: Start,
}

impl ProcessOptions {
    /// Creates the default options.
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

    /// Sets the maximum number of instances with a command in flight. 0 counts as 1. Default: 64.
    #[must_use]
    pub const fn in_flight(mut self, instances: usize) -> Self {
        self.in_flight = if instances == 0 { 1 } else { instances };
        self
    }

    /// Sets how many times a failed command is sent again. Default: 10.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the first and the longest pause between retries. Default: 50 ms and 15 seconds.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest.max(first);
        self
    }

    pub(super) fn backoff(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(usize::try_from(self.retries).unwrap_or(usize::MAX))
            .build()
    }

    /// Sets where a new process starts in the log. Has no effect on a process that has started
    /// before. Default: [`Start::Origin`].
    #[must_use]
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets the deadline of each attempt to send a command. Default: 30 seconds.
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

/// How a handler runs.
///
/// ```
/// use cqrs_core::process::HandlerOptions;
/// use cqrs_core::projection::FailurePolicy;
///
/// let options = HandlerOptions::new().concurrency(16).on_failure(FailurePolicy::stop());
/// assert_eq!(options.concurrency, 16);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HandlerOptions {
    /// The maximum number of events, of different keys, that are handled concurrently. This many
    /// events may be handled again after a crash. Default: 1.
    pub concurrency: usize,
    /// What happens when the handler fails. Default: [`FailurePolicy::park`].
    pub on_failure: FailurePolicy,
    /// Where a new handler starts in the log. Default: at the first event.
    pub start: Start,
}

impl HandlerOptions {
    /// Creates the default options.
    #[must_use]
    pub const fn new() -> Self {
        Self { concurrency: 1, on_failure: FailurePolicy::park(), start: Start::Origin }
    }

    /// Sets the maximum number of events of different keys that are handled concurrently. 0 counts
    /// as 1. Default: 1.
    #[must_use]
    pub const fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = if events == 0 { 1 } else { events };
        self
    }

    /// Sets what happens when the handler fails. Default: the event is parked together with the
    /// later ones of its key after the retries of [`FailurePolicy::park`].
    #[must_use]
    pub const fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.on_failure = policy;
        self
    }

    /// Sets where a new handler starts in the log. Has no effect on a handler that has started
    /// before. Default: [`Start::Origin`].
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
