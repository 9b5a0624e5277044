//! How much a bench measures, from its arguments.

use std::time::Duration;

/// How much to measure.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) duration: Duration,
    /// The number of events in sections that count rows instead of time.
    pub(crate) rows: usize,
    pub(crate) ten_million: bool,
    pub(crate) only: Vec<String>,
    /// Whether all sections run at full length.
    pub(crate) is_full: bool,
}

impl Effort {
    pub(crate) fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let has = |name: &str| arguments.iter().any(|argument| argument == name);
        let only = arguments.iter().position(|argument| argument == "--only");
        let only = only
            .and_then(|at| arguments.get(at + 1))
            .map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect());
        let mut effort = Self {
            rounds: 5,
            duration: Duration::from_millis(1_000),
            rows: 1_000_000,
            ten_million: has("--ten-million"),
            only,
            is_full: !has("--test") && !has("--quick") && !has("--only"),
        };
        if has("--quick") {
            (effort.rounds, effort.duration, effort.rows) =
                (3, Duration::from_millis(400), 200_000);
        }
        if has("--test") {
            (effort.rounds, effort.duration, effort.rows) = (1, Duration::from_millis(20), 2_000);
        }
        effort
    }

    pub(crate) fn wants(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == section)
    }
}
