//! How a projector runs.

use super::FailurePolicy;

/// How a projector runs.
///
/// ```
/// use cqrs_core::projection::{FailurePolicy, ProjectorOptions};
///
/// let options = ProjectorOptions::new().partitions(4).on_failure(FailurePolicy::park());
/// assert_eq!((options.partitions, options.batch), (4, 1_000));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ProjectorOptions {
    /// The number of partitions that its events are spread over by key, from 1 to 1,024. Each
    /// partition is handled in order by one node at a time. Another number rebuilds the read
    /// model. Default: 1.
    pub partitions: u32,
    /// The maximum number of events per transaction. Default: 1,000.
    pub batch: usize,
    /// What happens when it fails. Default: [`FailurePolicy::stop`].
    pub on_failure: FailurePolicy,
}

impl ProjectorOptions {
    /// Returns the defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { partitions: 1, batch: 1_000, on_failure: FailurePolicy::stop() }
    }

    /// Sets the number of partitions. Other values than 1 to 1,024 are clamped.
    #[must_use]
    pub const fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = match partitions {
            0 => 1,
            1..=1_024 => partitions,
            _ => 1_024,
        };
        self
    }

    /// Sets the maximum number of events per transaction; 0 counts as 1. At the head of the log a
    /// transaction holds the events that are there, without waiting for more.
    #[must_use]
    pub const fn batch(mut self, events: usize) -> Self {
        self.batch = if events == 0 { 1 } else { events };
        self
    }

    /// Sets what happens when the projector fails.
    #[must_use]
    pub const fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.on_failure = policy;
        self
    }
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        Self::new()
    }
}
