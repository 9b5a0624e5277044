//! A server that can be stopped, killed and restarted, and is removed when its process ends.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::binaries::{Binaries, other_user};

/// Waits until its input is closed, which happens when the process that started it ends for any
/// reason, then stops the server and removes its data.
const WATCHDOG: &str = r#"cat >/dev/null
"$0" stop -D "$1/data" -m immediate -s >/dev/null 2>&1
rm -rf "$1""#;

/// A private server with the user and password `cqrs`.
///
/// Dropping it removes it.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    folder: PathBuf,
    port: u16,
    watchdog: Child,
}

impl Cluster {
    /// Returns the address of the server that all tests of this process share: `DATABASE_URL` if it
    /// is set, otherwise that of a server which the first call starts.
    ///
    /// # Panics
    /// Panics if no server can be started. The message says what helps.
    pub fn shared() -> &'static str {
        static SHARED: OnceLock<(Option<Cluster>, String)> = OnceLock::new();
        let (_, url) = SHARED.get_or_init(|| match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => (None, url),
            _ => {
                let cluster = Self::start().unwrap_or_else(|error| panic!("{error}"));
                let url = cluster.url();
                (Some(cluster), url)
            }
        });
        url
    }

    /// Starts a separate server on a free port.
    ///
    /// # Errors
    /// Returns an error if no server is installed or it does not start. The message contains its log.
    pub fn start() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let binaries = Binaries::find().map_err(io::Error::other)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("cqrs-pg-{}-{count}", std::process::id()));
        // After a power failure, the folder of an earlier process with the same id may still exist.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        let watchdog = as_server_user(Command::new("sh"))
            .args(["-c", WATCHDOG])
            .arg(binaries.program("pg_ctl"))
            .arg(&folder)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut cluster = Self { binaries, folder, port: 0, watchdog };
        cluster.create()?;
        cluster.take_free_port()?;
        Ok(cluster)
    }

    /// Returns the address of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://cqrs:cqrs@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops the server as a crash would: nothing is flushed and every connection is lost.
    ///
    /// # Errors
    /// Returns an error if the server is not running.
    pub fn kill(&self) -> io::Result<()> {
        self.control("stop", &["-m", "immediate"])
    }

    /// Shuts the server down cleanly. Open transactions are rolled back.
    ///
    /// # Errors
    /// Returns an error if the server is not running.
    pub fn stop(&self) -> io::Result<()> {
        self.control("stop", &["-m", "fast"])
    }

    /// Restarts the server with the same data and port, and returns when it accepts connections.
    ///
    /// # Errors
    /// Returns an error if the server is already running or does not start.
    pub fn restart(&self) -> io::Result<()> {
        let options = format!("-p {} -k '{}'", self.port, self.folder.display());
        let log = self.folder.join("log");
        self.control("start", &["-o", &options, "-l", &log.to_string_lossy()])
            .map_err(|error| io::Error::other(format!("{error}\n{}", read(&log))))
    }

    fn create(&self) -> io::Result<()> {
        let password = self.folder.join("password");
        fs::write(&password, "cqrs\n")?;
        if let Some((user, group)) = other_user() {
            for path in [&self.folder, &password] {
                std::os::unix::fs::chown(path, Some(user), Some(group))?;
            }
        }
        let mut initdb = as_server_user(Command::new(self.binaries.program("initdb")));
        initdb
            .args(["--username=cqrs", "--auth-local=trust", "--auth-host=password"])
            .args(["--encoding=UTF8", "--locale=C", "--no-sync", "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(self.folder.join("data"));
        run(initdb.current_dir(&self.folder))?;
        let settings = "listen_addresses = '127.0.0.1'\nmax_connections = 200\n";
        let file = self.folder.join("data/postgresql.conf");
        fs::write(&file, read(&file) + settings)
    }

    /// Starts the server on a free port. Tries again if another process takes the port first.
    fn take_free_port(&mut self) -> io::Result<()> {
        let mut tries = 5;
        loop {
            self.port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            tries -= 1;
            match self.restart() {
                Err(_) if tries > 0 => {}
                outcome => return outcome,
            }
        }
    }

    fn control(&self, what: &str, more: &[&str]) -> io::Result<()> {
        let mut command = as_server_user(Command::new(self.binaries.program("pg_ctl")));
        command.arg(what).arg("-D").arg(self.folder.join("data")).args(["-w", "-t", "60"]);
        run(command.args(more).current_dir(&self.folder))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

pub(crate) fn as_server_user(mut command: Command) -> Command {
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command
}

fn run(command: &mut Command) -> io::Result<()> {
    // The server started by `pg_ctl` would keep a captured output open.
    let status =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{command:?} ended with {status}")))
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
