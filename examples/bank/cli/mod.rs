//! The bank on the command line: runs a story, one operation per line.

mod clock;
mod color;
mod crash;
mod operation;
mod render;
mod runtime;
mod story;
mod tokens;

pub use color::Colors;
pub use operation::{Label, Operation, When, parse};
pub use story::Summary;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use example_shared::StoreArguments;

use story::Story;

/// The story that the program runs if none is given.
pub const DEFAULT_STORY: &str = include_str!("../story.txt");

/// Runs a story of bank operations and prints what happens.
#[derive(Debug, Parser)]
#[command(name = "bank", after_help = operation::HELP)]
struct Arguments {
    /// A file, or `-` for standard input. Default: the built-in story.
    story: Option<PathBuf>,

    /// Kills the bank at every step of the story, or on Postgres at random moments, restarts it, and
    /// checks that it reaches the same result.
    #[arg(long, help = "kill the bank at every step and check that it\nreaches the same result")]
    crash_test: bool,

    /// Runs one process of a crash test on Postgres; the file counts the operations that were answered.
    #[arg(long, hide = true, value_name = "FILE")]
    progress: Option<PathBuf>,

    #[command(flatten)]
    store: StoreArguments,
}

/// Parses the arguments and runs the story.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { story, crash_test, progress, store } = Arguments::parse();
    let (name, bytes) = match read(story) {
        Ok(story) => story,
        Err(message) => {
            eprintln!("bank: {message}");
            return ExitCode::from(2);
        }
    };
    if crash_test {
        return exit_code(crash::test(&String::from_utf8_lossy(&bytes), &store));
    }
    if let Some(progress) = progress {
        let story = String::from_utf8_lossy(&bytes);
        let resumed = runtime::block_on(crash::resume(&story, &store, &progress));
        return exit_code(resumed.and_then(|resumed| resumed));
    }
    let (out, errors) = (&mut io::stdout().lock(), &mut io::stderr().lock());
    match run(&store, &name, &bytes, Colors::detect(), out, errors) {
        Ok(summary) if summary.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        // The reader has closed the pipe, as in `bank | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::from(1)
        }
    }
}

fn exit_code(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::from(1)
        }
    }
}

fn read(story: Option<PathBuf>) -> Result<(String, Vec<u8>), String> {
    let Some(path) = story else {
        return Ok(("story.txt".to_owned(), DEFAULT_STORY.into()));
    };
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        return read.map(|_| ("-".to_owned(), bytes)).map_err(|e| format!("standard input: {e}"));
    }
    let name = path.display().to_string();
    std::fs::read(&path).map(|bytes| (name.clone(), bytes)).map_err(|e| format!("{name}: {e}"))
}

/// Runs a story. What happens is written to `out`; lines that cannot be parsed and operations that fail
/// are reported on `errors`.
///
/// # Errors
/// If the store cannot be opened, or `out` or `errors` cannot be written.
pub fn run(
    store: &StoreArguments,
    name: &str,
    bytes: &[u8],
    colors: Colors,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(async { Story::begin(store, colors, out, errors).await?.run(name, bytes).await })
}
