//! An empty database for one test.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::Cluster;

/// A separate, empty database for one test.
///
/// Dropping this value drops the database, unless the test failed: then the database is kept and its
/// name is printed.
#[derive(Debug)]
pub struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    /// Creates a database on the shared server.
    ///
    /// # Panics
    /// Panics if the server cannot be reached or does not allow it.
    pub async fn create() -> Self {
        Self::on(Cluster::shared()).await
    }

    /// Creates a database on a given server.
    ///
    /// # Panics
    /// Panics if the server cannot be reached or does not allow it.
    pub async fn on(url: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static RUN: LazyLock<u64> =
            LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = Self {
            server: url.parse().unwrap_or_else(|error| panic!("invalid address {url}: {error}")),
            // Other machines with the same process ids may use the same server.
            name: format!("cqrs_test_{:016x}_{count}", *RUN),
        };
        let drop = format!("drop database if exists {} with (force)", database.name);
        let create = format!("create database {}", database.name);
        for statement in [drop, create] {
            execute(&database.server, statement).await.unwrap_or_else(|error| panic!("{error}"));
        }
        database
    }

    /// Returns the options to connect to this database.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// Returns the address of this database.
    #[must_use]
    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// Keeps the database until its server is removed, and returns the options to connect to it.
    /// For tests that pass the database on and do not know when it is no longer used.
    #[must_use]
    pub fn keep(self) -> PgConnectOptions {
        let options = self.options();
        std::mem::forget(self);
        options
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept the database `{}`", self.name);
            return;
        }
        let server = self.server.clone();
        let statement = format!("drop database if exists {} with (force)", self.name);
        // A runtime cannot be started inside another one, so this one runs on its own thread.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                let _ = runtime.block_on(execute(&server, statement));
            }
        });
        let _ = dropping.join();
    }
}

async fn execute(server: &PgConnectOptions, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = server.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
