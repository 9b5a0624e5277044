//! Finds the programs of the server and the user that may run them.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

/// No PostgreSQL server was found in the folders that are searched.
#[derive(Debug)]
pub struct NotInstalled;

impl fmt::Display for NotInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no PostgreSQL server found; install one or set DATABASE_URL")
    }
}

impl std::error::Error for NotInstalled {}

impl Binaries {
    /// Searches `PATH`, then the folders of Debian, Fedora and Homebrew, and returns the newest version.
    ///
    /// # Errors
    /// Returns [`NotInstalled`] if there is none.
    pub fn find() -> Result<Self, NotInstalled> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        for (parent, below) in [
            ("/usr/lib/postgresql", "bin"),
            ("/usr", "bin"),
            ("/opt/homebrew/opt", "bin"),
            ("/usr/local/opt", "bin"),
        ] {
            folders.extend(versions(Path::new(parent)).into_iter().map(|path| path.join(below)));
        }
        folders
            .into_iter()
            .find(|folder| {
                ["initdb", "pg_ctl", "postgres"].iter().all(|p| folder.join(p).is_file())
            })
            .map(Self)
            .ok_or(NotInstalled)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Returns folders such as `15`, `postgresql@17` and `pgsql-16`, the highest number first.
fn versions(parent: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = ["postgresql@", "pgsql-", ""].iter().find_map(|p| name.strip_prefix(p))?;
            Some((number.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Returns the user and the group that the server runs as if this process runs as root, which the
/// server does not accept.
pub(crate) fn other_user() -> Option<(u32, u32)> {
    let me = std::fs::metadata("/proc/self").ok()?.uid();
    if me != 0 {
        return None;
    }
    ["postgres", "nobody"].iter().find_map(|user| Some((id("-u", user)?, id("-g", user)?)))
}

fn id(which: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([which, user]).output().ok()?;
    std::str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}
