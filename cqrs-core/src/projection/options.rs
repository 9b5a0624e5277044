//! How one projector is run.

use super::FailurePolicy;

/// How one projector is run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ProjectorOptions {
    /// Over how many partitions its events are spread by key. Each is handled in order by one
    /// process at a time. Another number builds the read model anew.
    pub partitions: u32,
    /// At most so many events in one transaction.
    pub batch: usize,
    /// What happens when it fails.
    pub on_failure: FailurePolicy,
}

impl ProjectorOptions {
    /// One partition, up to 1,000 events in a transaction, stops when it fails.
    #[must_use]
    pub const fn new() -> Self {
        Self { partitions: 1, batch: 1_000, on_failure: FailurePolicy::stop() }
    }

    /// Sets the number of partitions, from 1 to 1,024.
    #[must_use]
    pub const fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = match partitions {
            0 => 1,
            1..=1_024 => partitions,
            _ => 1_024,
        };
        self
    }

    /// Sets how many events a transaction takes at most; 0 counts as 1. At the head of the log a
    /// transaction takes what is there.
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
