//! PgBouncer in transaction mode, in front of a server.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

use crate::binaries::other_user;
use crate::server::as_server_user;

/// The programs to try: the one in `PATH`, then the usual locations.
const PLACES: [&str; 4] =
    ["pgbouncer", "/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];

/// A running pooler, which may run each transaction in a different session. Dropping it stops it.
#[derive(Debug)]
pub struct Pooler {
    folder: PathBuf,
    options: PgConnectOptions,
    running: Child,
}

impl Pooler {
    /// Returns `true` if PgBouncer is installed.
    #[must_use]
    pub fn is_installed() -> bool {
        program().is_some()
    }

    /// Starts a pooler in front of a server, on a free port.
    ///
    /// # Errors
    /// Returns an error if PgBouncer is not installed or does not start.
    pub fn start(server: &PgConnectOptions) -> io::Result<Self> {
        let program = program().ok_or_else(|| io::Error::other("PgBouncer is not installed"))?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let folder =
            std::env::temp_dir().join(format!("cqrs-pooler-{}-{port}", std::process::id()));
        fs::create_dir(&folder)?;
        let settings = format!(
            "[databases]\n* = host={} port={} user={} password=cqrs\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 4\nlogfile = {}/log\n",
            server.get_host(),
            server.get_port(),
            server.get_username(),
            folder.display()
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, settings)?;
        if let Some((user, group)) = other_user() {
            for path in [&folder, &file] {
                std::os::unix::fs::chown(path, Some(user), Some(group))?;
            }
        }
        let running = as_server_user(Command::new(program))
            .arg(&file)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let options = server.clone().host("127.0.0.1").port(port);
        let pooler = Self { folder, options, running };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > until {
                let log = fs::read_to_string(pooler.folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("PgBouncer does not answer\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(pooler)
    }

    /// Returns the options to connect through the pooler.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn program() -> Option<&'static str> {
    PLACES.into_iter().find(|program| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    })
}
