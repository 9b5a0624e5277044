//! Colours, for terminals whose owner did not say no.

use std::io::IsTerminal;

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    No,
    /// With the escape sequences of terminals.
    Yes,
}

impl Paint {
    /// Colours if standard output is a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    #[must_use]
    pub fn detect() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !refused && !dumb { Self::Yes } else { Self::No }
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
            Self::No => text.to_owned(),
            Self::Yes => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}
