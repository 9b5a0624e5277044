//! The bank on the command line: a story of operations, run line by line.

mod clock;
mod crash;
mod operation;
mod paint;
mod show;
mod story;
mod words;

pub use operation::{Label, Operation, When, parse};
pub use paint::Paint;
pub use story::Summary;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use example_shared::StoreArguments;

use story::Story;

/// The story that ships with the example.
pub const DEFAULT_STORY: &str = include_str!("../story.txt");

/// Runs a story of bank operations and prints what happens.
#[derive(Debug, Parser)]
#[command(name = "bank", after_help = operation::HELP)]
struct Arguments {
    /// A file, or `-` for standard input; the story that ships, if left out.
    story: Option<PathBuf>,

    /// Kills the bank at each step of the story, or on Postgres at many moments, and starts it
    /// again; says how often it survived.
    #[arg(long, help = "kill the bank at every step, and say how\noften it survived")]
    crash_test: bool,

    /// One run of such a test.
    #[arg(long, hide = true, value_name = "FILE")]
    notebook: Option<PathBuf>,

    #[command(flatten)]
    store: StoreArguments,
}

/// Reads the arguments and runs the story.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { story, crash_test, notebook, store } = Arguments::parse();
    let (name, bytes) = match read(story) {
        Ok(story) => story,
        Err(message) => {
            eprintln!("bank: {message}");
            return ExitCode::from(2);
        }
    };
    if crash_test {
        return crash::test(&String::from_utf8_lossy(&bytes), &store);
    }
    if let Some(notebook) = notebook {
        let story = String::from_utf8_lossy(&bytes);
        let told = on_runtime(crash::go_on(&story, &store, &notebook));
        return match told.and_then(|told| told) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bank: {error}");
                ExitCode::from(1)
            }
        };
    }
    let (out, complaints) = (&mut io::stdout().lock(), &mut io::stderr().lock());
    match run(&store, &name, &bytes, Paint::detect(), out, complaints) {
        Ok(summary) if summary.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        // Whoever reads has had enough: `bank | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::from(1)
        }
    }
}

/// Whatever goes wrong is told to the person at the keyboard.
fn on_runtime<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map(|runtime| runtime.block_on(work)).map_err(|error| error.to_string())
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

/// Runs a story: what happens goes to `out`, lines that are not understood to `complaints`.
///
/// # Errors
/// When the store cannot be opened, or `out` or `complaints` cannot be written.
pub fn run(
    store: &StoreArguments,
    name: &str,
    bytes: &[u8],
    paint: Paint,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        Story::begin(store, paint, out, complaints).await?.run(name, bytes).await
    })
}
