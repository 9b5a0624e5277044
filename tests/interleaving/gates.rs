//! Gates in the SQL functions, at which a session can be held.

use std::time::Duration;

use cqrs_testing::eventually;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::Mutex;

/// The key of the advisory lock that closes all gates.
const GATE: u32 = 4_242;

/// The session setting that names the gate to stop at.
const STOP_AT: &str = "interleaving.stop_at";

/// Adds gates to both append functions and returns their names, in order, for each function.
pub(crate) async fn install(
    connection: &mut PgConnection,
    without_lock: bool,
) -> (Vec<String>, Vec<String>) {
    let gate = format!(
        "create function public.gate(name text) returns void language plpgsql as $$
         begin
           if current_setting('{STOP_AT}', true) = name then
             perform pg_advisory_lock_shared({GATE});
             perform pg_advisory_unlock_shared({GATE});
           end if;
         end $$"
    );
    sqlx::raw_sql(AssertSqlSafe(gate)).execute(&mut *connection).await.unwrap();
    let mut names = Vec::new();
    for function in ["append_one", "append"] {
        let query = "select pg_get_functiondef(p.oid) from pg_proc p
            join pg_namespace n on n.oid = p.pronamespace
            where n.nspname = 'cqrs' and p.proname = $1";
        let row = sqlx::query(query).bind(function).fetch_one(&mut *connection).await.unwrap();
        let mut text: String = row.get(0);
        if without_lock {
            text.retain_lines(|line| !line.contains("pg_advisory_xact_lock"));
        }
        let (gated, gates) = with_gates(&text, function);
        sqlx::raw_sql(AssertSqlSafe(gated)).execute(&mut *connection).await.unwrap();
        names.push(gates);
    }
    let several = names.pop().unwrap();
    (names.pop().unwrap(), several)
}

trait RetainLines {
    fn retain_lines(&mut self, keep: impl Fn(&str) -> bool);
}

impl RetainLines for String {
    fn retain_lines(&mut self, keep: impl Fn(&str) -> bool) {
        *self = self.lines().filter(|line| keep(line)).map(|line| format!("{line}\n")).collect();
    }
}

/// Adds a gate before each statement of the outermost block, and one after the last.
fn with_gates(text: &str, function: &str) -> (String, Vec<String>) {
    let mut gated = String::new();
    let mut gates = Vec::new();
    let mut gate = |gated: &mut String| {
        let name = format!("{function}:{}", gates.len());
        gated.push_str(&format!("  perform public.gate('{name}');\n"));
        gates.push(name);
    };
    let mut in_block = false;
    // The end of the statement that has begun.
    let mut ends_with: Option<&str> = None;
    for line in text.lines() {
        if in_block && line.starts_with("end ") {
            gate(&mut gated);
            in_block = false;
        }
        let statement = line.trim();
        if in_block && ends_with.is_none() && !statement.is_empty() && !statement.starts_with("--")
        {
            gate(&mut gated);
            ends_with = Some(if statement.starts_with("if ") { "  end if;" } else { ";" });
        }
        gated.push_str(line);
        gated.push('\n');
        ends_with = ends_with.filter(|end| match *end {
            ";" => !line.ends_with(';'),
            block => line != block,
        });
        if line == "begin" {
            in_block = true;
        }
    }
    (gated, gates)
}

/// Returns options for sessions that stop at a gate.
pub(crate) fn stopping_at(options: &PgConnectOptions, gate: &str) -> PgConnectOptions {
    options.clone().options([(STOP_AT, gate)])
}

/// Closes and opens all gates, and finds the sessions that wait.
pub(crate) struct GateControl(Mutex<PgConnection>);

impl GateControl {
    pub(crate) fn new(connection: PgConnection) -> Self {
        Self(Mutex::new(connection))
    }

    async fn run(&self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self.0.lock().await).await.unwrap();
    }

    pub(crate) async fn close(&self) {
        self.run(format!("select pg_advisory_lock({GATE})")).await;
    }

    pub(crate) async fn open(&self) {
        self.run(format!("select pg_advisory_unlock({GATE})")).await;
    }

    /// Returns the session that waits at a gate, or `None`.
    pub(crate) async fn at_gate(&self) -> Option<i32> {
        self.waiting("=").await
    }

    /// Returns `true` if a session waits for another lock: that of the log, or of a row.
    pub(crate) async fn at_lock(&self) -> bool {
        self.waiting("<>").await.is_some()
    }

    async fn waiting(&self, is_gate: &str) -> Option<i32> {
        let sql = format!(
            "select l.pid from pg_locks l join pg_stat_activity a on a.pid = l.pid
              where not l.granted and a.datname = current_database()
                and coalesce(l.objid, 0) {is_gate} $1 limit 1"
        );
        let gate = sqlx::postgres::types::Oid(GATE);
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(gate);
        query.fetch_optional(&mut *self.0.lock().await).await.unwrap()
    }

    /// Ends the session that waits at a gate.
    pub(crate) async fn kill(&self, pid: i32) {
        self.run(format!("select pg_terminate_backend({pid})")).await;
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let holds = Mutex::new(&mut holds);
        eventually(Duration::from_secs(20), || async {
            let mut holds = holds.lock().await;
            if (*holds)().await { Ok(()) } else { Err(format!("not {what}")) }
        })
        .await;
    }
}
