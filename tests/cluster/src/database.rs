//! An empty database for one test.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::Cluster;

/// An empty database of one test's own.
///
/// It is dropped with this value, and kept under its printed name when the test fails.
#[derive(Debug)]
pub struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    /// Creates one on the shared server.
    ///
    /// # Panics
    /// When the server cannot be reached or refuses.
    pub async fn create() -> Self {
        Self::on(Cluster::shared()).await
    }

    /// Creates one on a given server.
    ///
    /// # Panics
    /// When the server cannot be reached or refuses.
    pub async fn on(url: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static RUN: LazyLock<u64> =
            LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = Self {
            server: url.parse().unwrap_or_else(|error| panic!("bad address {url}: {error}")),
            // Others may use the same server, from machines with the same process ids.
            name: format!("cqrs_test_{:016x}_{count}", *RUN),
        };
        let drop = format!("drop database if exists {} with (force)", database.name);
        let create = format!("create database {}", database.name);
        for statement in [drop, create] {
            execute(&database.server, statement).await.unwrap_or_else(|error| panic!("{error}"));
        }
        database
    }

    /// How to connect to it.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// Leaves it in place and gives its address: for tests that hand it on and cannot say when
    /// it is over. It goes with the server.
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
        // A runtime cannot be entered from within another, so this one gets a thread.
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
