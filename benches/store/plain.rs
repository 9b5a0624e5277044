//! The baseline: the same rows through the same driver, without any checks, and with positions from a
//! sequence, which readers could not rely on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::Database;
use cqrs_postgres::Pg;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use crate::callers::stop_after;
use crate::samples::{Sample, payload};

const TABLE: &str = "
drop table if exists public.plain;
create table public.plain (
  position bigint generated always as identity primary key,
  stream_id bigint not null, version bigint not null, type_id integer not null,
  schema_version integer not null, event_id uuid not null unique, recorded_at timestamptz not null,
  stored_at timestamptz, correlation_id uuid, data json not null, metadata json,
  unique (stream_id, version))";

const ONE: &str = "
insert into public.plain (stream_id, version, type_id, schema_version, event_id, recorded_at, data)
values ($1, $2, 1, 1, $3, now(), $4::text::json)";

const MANY: &str = "
insert into public.plain (stream_id, version, type_id, schema_version, event_id, recorded_at, data)
select e.stream, e.version, 1, 1, e.id, now(), e.data::json
  from unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[]) e(stream, version, id, data)";

pub(crate) async fn fresh_table(database: &Database) -> PgConnection {
    let mut connection = database.options().connect().await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut connection).await.unwrap();
    connection
}

/// Inserts rows, given by stream and version, with one statement.
pub(crate) async fn insert(connection: &mut PgConnection, rows: &[(i64, i64)]) {
    let data = payload();
    if let [(stream, version)] = rows {
        let query = sqlx::query(ONE).bind(stream).bind(version).bind(Pg(Uuid::now_v7()));
        query.bind(data.as_str()).execute(connection).await.unwrap();
        return;
    }
    let (streams, versions): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
    let ids: Vec<Pg<Uuid>> = rows.iter().map(|_| Pg(Uuid::now_v7())).collect();
    let query = sqlx::query(MANY).bind(streams).bind(versions).bind(ids);
    query.bind(vec![data.as_str(); rows.len()]).execute(connection).await.unwrap();
}

/// Opens up to 32 connections, which the callers share.
async fn connections(
    options: &PgConnectOptions,
    callers: usize,
) -> (mpsc::Sender<PgConnection>, Arc<Mutex<mpsc::Receiver<PgConnection>>>) {
    let (give, take) = mpsc::channel(32);
    for _ in 0..callers.min(32) {
        give.send(options.connect().await.unwrap()).await.unwrap();
    }
    (give, Arc::new(Mutex::new(take)))
}

/// Runs callers that insert `rows` rows at a time.
pub(crate) async fn callers(
    database: &Database,
    callers: usize,
    rows: usize,
    duration: Duration,
) -> Sample {
    fresh_table(database).await;
    let (give, take) = connections(&database.options(), callers).await;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (give, take, stop) = (give.clone(), Arc::clone(&take), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut version = 0;
                // At least once, even if the time is very short.
                while latencies.is_empty() || !stop.load(Ordering::Relaxed) {
                    let stream = i64::try_from(caller).unwrap();
                    let given: Vec<_> = (0..rows)
                        .map(|_| {
                            version += 1;
                            (stream, version)
                        })
                        .collect();
                    let start = Instant::now();
                    let mut connection = take.lock().await.recv().await.unwrap();
                    insert(&mut connection, &given).await;
                    give.send(connection).await.unwrap();
                    latencies.push(start.elapsed());
                }
                latencies
            })
        })
        .collect();
    stop_after(duration, &stop, tasks).await
}

/// Returns rows per second of one connection that inserts `rows` rows at a time.
pub(crate) async fn bare_batches(database: &Database, rows: usize, duration: Duration) -> f64 {
    let mut connection = fresh_table(database).await;
    let (start, mut version) = (Instant::now(), 0_i64);
    while start.elapsed() < duration {
        version += 1;
        let given: Vec<_> = (0..rows).map(|row| (i64::try_from(row).unwrap(), version)).collect();
        insert(&mut connection, &given).await;
    }
    version as f64 * rows as f64 / start.elapsed().as_secs_f64()
}

/// Returns rows per second of one `COPY`.
pub(crate) async fn copy(database: &Database, rows: usize) -> f64 {
    let mut connection = fresh_table(database).await;
    let data = payload();
    let start = Instant::now();
    let statement = "copy public.plain (stream_id, version, type_id, schema_version, event_id, \
                     recorded_at, data) from stdin";
    let mut copying = connection.copy_in_raw(statement).await.unwrap();
    let mut text = String::new();
    for row in 1..=rows {
        // A thousand events per stream, like the appends.
        let (stream, version) = (row / 1_000, row);
        let id = Uuid::now_v7();
        text.push_str(&format!("{stream}\t{version}\t1\t1\t{id}\t2026-11-21\t{}\n", data.as_str()));
        if text.len() > 1 << 20 || row == rows {
            copying.send(std::mem::take(&mut text).into_bytes()).await.unwrap();
        }
    }
    copying.finish().await.unwrap();
    rows as f64 / start.elapsed().as_secs_f64()
}
