//! Where the server's programs are, and as whom they may run.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

/// No PostgreSQL server is installed where this looks for one.
#[derive(Debug)]
pub struct NotInstalled;

impl fmt::Display for NotInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no PostgreSQL server found; install one or set DATABASE_URL")
    }
}

impl std::error::Error for NotInstalled {}

impl Binaries {
    /// Looks in `PATH`, then where Debian, Fedora and Homebrew install; the newest version wins.
    ///
    /// # Errors
    /// [`NotInstalled`] when there is none.
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

/// `15`, `postgresql@17` and `pgsql-16` inside a folder, the highest number first.
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

/// The server refuses to run as root: the user and group it runs as instead, if this is root.
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
