//! One call of the database: a batch as columns, and its outcome.

use std::sync::Arc;

use cqrs_core::event::Uuid;
use cqrs_core::{
    CommandId, CorrelationId, EventId, ExpectedVersion, Position, StreamName, Timestamp, Version,
    store::{Appended, AppendedStream, Conflict},
};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::prepared::Prepared;
use crate::Pg;
use crate::database::names::Names;
use crate::database::numbers::{signed, unsigned};
use crate::database::sql::Sql;

/// The outcome of one append that reached the database.
#[derive(Debug)]
pub(crate) enum Verdict {
    Stored(Appended),
    Conflict(Conflict),
    /// A part of it is already stored. The conflict counts if that is not found afterwards.
    Repeated(Option<Conflict>),
    /// A connection was lost after it was prepared. It was not sent.
    OutOfDate,
}

/// The outcome of a batch.
pub(crate) struct Outcome {
    /// One for each append, in order.
    pub(crate) verdicts: Vec<Verdict>,
    /// The head after it.
    pub(crate) head: Position,
    /// The ids of the streams that it appended to.
    pub(crate) streams: Vec<(StreamName, i64)>,
}

/// Sends a batch, stored at `now` or, without it, at the server's time. No stream may occur twice.
pub(crate) async fn send(
    connection: &mut PgConnection,
    sql: &Sql,
    names: &Names,
    batch: &[&Prepared],
    now: Option<Timestamp>,
) -> Result<Outcome, sqlx::Error> {
    match batch {
        [one] if is_single(one) => send_one(connection, sql, names, one, now).await,
        _ => {
            let columns = Columns::of(batch, names);
            Ok(send_columns(connection, sql, columns, now).await?.outcome(batch))
        }
    }
}

/// Returns `true` for one event to one stream.
fn is_single(prepared: &Prepared) -> bool {
    matches!(prepared.append.streams.as_slice(),
        [part] if part.events.len() == 1 && part.state.is_none())
}

fn expected(expected: ExpectedVersion) -> i64 {
    match expected {
        ExpectedVersion::Any => -1,
        ExpectedVersion::StreamExists => -2,
        ExpectedVersion::NoStream => 0,
        // No stream reaches the largest number, so this is rejected as it should be.
        ExpectedVersion::Exact(version) => signed(version.get()),
    }
}

async fn send_one(
    connection: &mut PgConnection,
    sql: &Sql,
    names: &Names,
    one: &Prepared,
    now: Option<Timestamp>,
) -> Result<Outcome, sqlx::Error> {
    let (Some(part), Some(event)) = (one.append.streams.first(), one.append.events().next()) else {
        return Err(sqlx::Error::Protocol("an append of one event without an event".into()));
    };
    let stream = names.cache().stream_id(&part.stream);
    let row = sqlx::query(AssertSqlSafe(Arc::clone(&sql.append_one)))
        .bind(stream)
        .bind(part.stream.as_str())
        .bind(expected(part.expected))
        .bind(Pg(event.id))
        .bind(one.types.first())
        .bind(schema_version(event.schema_version))
        .bind(event.recorded_at.map(Pg))
        .bind(event.metadata.correlation_id.map(Pg))
        .bind(event.payload.as_str())
        .bind(one.metadata.first().and_then(Option::as_deref))
        .bind(one.append.command.map(|key| Pg(key.id)))
        .bind(one.append.command.map(|key| Pg(key.fingerprint)))
        .bind(now.map(Pg))
        .fetch_one(connection)
        .await?;
    let accepted: bool = row.try_get(0)?;
    let known: bool = row.try_get(1)?;
    let stream: Option<i64> = row.try_get(3)?;
    let returned = Returned {
        accepted: Some(vec![accepted]),
        known: if known { vec![1] } else { Vec::new() },
        versions: vec![row.try_get(2)?],
        streams: vec![stream],
        head: row.try_get(4)?,
        stored_at: row.try_get::<Pg<Timestamp>, _>(5)?.0,
    };
    Ok(returned.outcome(&[one]))
}

/// `Append::check` rejects what does not fit.
fn schema_version(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

#[derive(Default)]
struct Columns<'a> {
    part_appends: Vec<i32>,
    part_ids: Vec<Option<i64>>,
    part_names: Vec<&'a str>,
    part_expected: Vec<i64>,
    part_counts: Vec<i64>,
    event_parts: Vec<i32>,
    event_numbers: Vec<i64>,
    event_ids: Vec<Pg<EventId>>,
    event_types: Vec<i32>,
    event_schemas: Vec<i32>,
    event_times: Vec<Option<Pg<Timestamp>>>,
    event_correlations: Vec<Option<Pg<CorrelationId>>>,
    event_datas: Vec<&'a str>,
    event_metadatas: Vec<Option<&'a str>>,
    command_appends: Vec<i32>,
    command_ids: Vec<Pg<CommandId>>,
    command_fingerprints: Vec<Pg<Uuid>>,
    state_parts: Vec<i32>,
    state_tags: Vec<&'a str>,
    state_payloads: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(batch: &[&'a Prepared], names: &Names) -> Self {
        let mut columns = Self::default();
        let mut cache = names.cache();
        for (number, prepared) in (1..).zip(batch) {
            if let Some(key) = prepared.append.command {
                columns.command_appends.push(number);
                columns.command_ids.push(Pg(key.id));
                columns.command_fingerprints.push(Pg(key.fingerprint));
            }
            let mut metadata = prepared.metadata.iter();
            columns.event_types.extend(&prepared.types);
            for part in &prepared.append.streams {
                columns.part_appends.push(number);
                columns.part_ids.push(cache.stream_id(&part.stream));
                columns.part_names.push(part.stream.as_str());
                columns.part_expected.push(expected(part.expected));
                columns.part_counts.push(signed(part.events.len() as u64));
                let part_number = i32::try_from(columns.part_ids.len()).unwrap_or(i32::MAX);
                if let Some(state) = &part.state {
                    columns.state_parts.push(part_number);
                    columns.state_tags.push(&state.tag);
                    columns.state_payloads.push(state.payload.as_str());
                }
                for (in_part, event) in (1..).zip(&part.events) {
                    columns.event_parts.push(part_number);
                    columns.event_numbers.push(in_part);
                    columns.event_ids.push(Pg(event.id));
                    columns.event_schemas.push(schema_version(event.schema_version));
                    columns.event_times.push(event.recorded_at.map(Pg));
                    let correlation = event.metadata.correlation_id.map(Pg);
                    columns.event_correlations.push(correlation);
                    columns.event_datas.push(event.payload.as_str());
                    columns.event_metadatas.push(metadata.next().and_then(Option::as_deref));
                }
            }
        }
        columns
    }

    /// Puts the events in another order.
    fn reorder(&mut self, order: &[usize]) {
        fn reorder<T: Copy>(column: &mut Vec<T>, order: &[usize]) {
            *column = order.iter().filter_map(|at| column.get(*at).copied()).collect();
        }
        reorder(&mut self.event_parts, order);
        reorder(&mut self.event_numbers, order);
        reorder(&mut self.event_ids, order);
        reorder(&mut self.event_types, order);
        reorder(&mut self.event_schemas, order);
        reorder(&mut self.event_times, order);
        reorder(&mut self.event_correlations, order);
        reorder(&mut self.event_datas, order);
        reorder(&mut self.event_metadatas, order);
    }
}

/// Sends one append whose events are stored in another order than that of its streams, and returns
/// the head after it.
pub(crate) async fn send_ordered(
    connection: &mut PgConnection,
    sql: &Sql,
    names: &Names,
    prepared: &Prepared,
    order: &[usize],
    now: Option<Timestamp>,
) -> Result<Position, sqlx::Error> {
    let batch = [prepared];
    let mut columns = Columns::of(&batch, names);
    columns.reorder(order);
    Ok(send_columns(connection, sql, columns, now).await?.outcome(&batch).head)
}

async fn send_columns(
    connection: &mut PgConnection,
    sql: &Sql,
    columns: Columns<'_>,
    now: Option<Timestamp>,
) -> Result<Returned, sqlx::Error> {
    let row = sqlx::query(AssertSqlSafe(Arc::clone(&sql.append)))
        .bind(columns.part_appends)
        .bind(columns.part_ids)
        .bind(columns.part_names)
        .bind(columns.part_expected)
        .bind(columns.part_counts)
        .bind(columns.event_parts)
        .bind(columns.event_numbers)
        .bind(columns.event_ids)
        .bind(columns.event_types)
        .bind(columns.event_schemas)
        .bind(columns.event_times)
        .bind(columns.event_correlations)
        .bind(columns.event_datas)
        .bind(columns.event_metadatas)
        .bind(columns.command_appends)
        .bind(columns.command_ids)
        .bind(columns.command_fingerprints)
        .bind(columns.state_parts)
        .bind(columns.state_tags)
        .bind(columns.state_payloads)
        .bind(now.map(Pg))
        .fetch_one(connection)
        .await?;
    Returned::read(&row)
}

/// The row that the function `append` returns.
struct Returned {
    accepted: Option<Vec<bool>>,
    known: Vec<i32>,
    versions: Vec<i64>,
    streams: Vec<Option<i64>>,
    head: i64,
    stored_at: Timestamp,
}

impl Returned {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            accepted: row.try_get(0)?,
            known: row.try_get::<Option<_>, _>(1)?.unwrap_or_default(),
            versions: row.try_get(2)?,
            streams: row.try_get(3)?,
            head: row.try_get(4)?,
            stored_at: row.try_get::<Pg<Timestamp>, _>(5)?.0,
        })
    }

    /// Computes the positions: accepted appends have consecutive ones, in their order.
    fn outcome(self, batch: &[&Prepared]) -> Outcome {
        let mut head = unsigned(self.head);
        let mut parts = self.versions.into_iter().zip(self.streams);
        let mut streams = Vec::new();
        let mut verdicts = Vec::with_capacity(batch.len());
        for (number, prepared) in (1..).zip(batch) {
            let append = &prepared.append;
            let at = verdicts.len();
            let accepted = self.accepted.as_ref().is_none_or(|all| all.get(at) == Some(&true));
            let mut stored = Vec::with_capacity(append.streams.len());
            let mut conflict = None;
            for (part, (before, id)) in append.streams.iter().zip(&mut parts) {
                let before = Version::new(unsigned(before));
                if !accepted {
                    if conflict.is_none() && !part.expected.accepts(before) {
                        let stream = part.stream.clone();
                        conflict = Some(Conflict::new(stream, part.expected, before));
                    }
                    continue;
                }
                let events = part.events.len() as u64;
                head += events;
                let position = if events == 0 { Position::START } else { Position::new(head) };
                let version = before.plus(events);
                stored.push(AppendedStream::new(part.stream.clone(), version, events, position));
                if let (Some(id), true) = (id, events > 0) {
                    streams.push((part.stream.clone(), id));
                }
            }
            verdicts.push(if accepted {
                Verdict::Stored(Appended::new(stored, self.stored_at))
            } else if self.known.contains(&number) {
                Verdict::Repeated(conflict)
            } else {
                // A rejected append has a part that was rejected; if not, the look-up decides.
                conflict.map_or(Verdict::Repeated(None), Verdict::Conflict)
            });
        }
        Outcome { verdicts, head: Position::new(head), streams }
    }
}
