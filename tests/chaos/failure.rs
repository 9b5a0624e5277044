//! Failures of the server while writers and readers work.

use std::time::{Duration, Instant};

use cluster::{Chance, Cluster};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::writer::Writers;

pub(crate) struct Failure<'a> {
    pub(crate) lasts: Duration,
    /// Whether connections and processes are killed.
    pub(crate) kills: bool,
    /// The server to kill and start again.
    pub(crate) crashes: Option<&'a Cluster>,
}

impl Failure<'_> {
    pub(crate) async fn happen(
        self,
        options: &PgConnectOptions,
        writers: &mut Writers,
        mut chance: Chance,
    ) -> String {
        let until = Instant::now() + self.lasts;
        let (mut kills, mut crashes, mut processes) = (0, 0, 0);
        let mut connection = None;
        while Instant::now() < until {
            // Spaces out the failures; no condition is waited for.
            tokio::time::sleep(Duration::from_millis(20 + chance.below(200))).await;
            if !self.kills {
                continue;
            }
            if let Some(cluster) = self.crashes
                && chance.one_in(12)
            {
                cluster.kill().unwrap();
                cluster.restart().unwrap();
                crashes += 1;
                connection = None;
            } else if chance.one_in(12) {
                writers.kill_one(&mut chance);
                processes += 1;
            } else if let Some(killed) = kill_some(&mut connection, options, &mut chance).await {
                kills += killed;
            } else {
                connection = None;
            }
        }
        format!("{kills} connections and {processes} processes killed, {crashes} crashes")
    }
}

/// Terminates about a third of the connections to the database. Returns `None` if the database is
/// not available.
async fn kill_some(
    connection: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    chance: &mut Chance,
) -> Option<u64> {
    if connection.is_none() {
        *connection = Some(options.connect().await.ok()?);
    }
    let others = "select pid from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() order by pid";
    let connection = connection.as_mut()?;
    let rows = sqlx::query(others).fetch_all(&mut *connection).await.ok()?;
    let mut killed = 0;
    for row in rows {
        if chance.one_in(3) {
            let kill = sqlx::query("select pg_terminate_backend($1)").bind(row.get::<i32, _>(0));
            kill.execute(&mut *connection).await.ok()?;
            killed += 1;
        }
    }
    Some(killed)
}

/// Removes the lock from both append functions.
pub(crate) async fn remove_the_lock(options: &PgConnectOptions) {
    let mut connection = options.connect().await.unwrap();
    let functions = "select pg_get_functiondef(p.oid) from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'cqrs' and p.proname in ('append', 'append_one')";
    let rows = sqlx::query(functions).fetch_all(&mut connection).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let text: String = row.get(0);
        let without: String = text
            .lines()
            .filter(|line| !line.contains("pg_advisory_xact_lock"))
            .collect::<Vec<_>>()
            .join("\n");
        assert_ne!(text.trim_end(), without.trim_end(), "there was no lock to remove");
        sqlx::raw_sql(AssertSqlSafe(without)).execute(&mut connection).await.unwrap();
    }
}
