//! Colors for terminals.

use std::io::IsTerminal;

/// Whether to write escape sequences for colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// Plain text.
    Off,
    /// Text with ANSI escape sequences.
    On,
}

impl Colors {
    /// Returns [`On`](Self::On) if standard output is a terminal, unless `NO_COLOR` is set or `TERM` is
    /// `dumb`.
    #[must_use]
    pub fn detect() -> Self {
        let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !declined && !dumb { Self::On } else { Self::Off }
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with(32, text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with(31, text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with(2, text)
    }

    fn with(self, code: u8, text: &str) -> String {
        match self {
            Self::Off => text.to_owned(),
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}
