//! Processes in Postgres: a row for each instance, in the schema of the process.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cqrs_core::process::{
    Instance, InstanceQuery, InstanceStatus, OutgoingCommand, PendingWork, ProcessStore, Request,
    Timer,
};
use cqrs_core::{
    CommandId, CorrelationId, Position, Timestamp,
    event::{CausationId, Payload},
    projection::ConsumerName,
    store::{StoreError, StoreErrorKind},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{PgReadStore, PgReadTransaction, int, json, run, to_json};
use crate::connections::{Arguments, arguments};
use crate::error::{sqlstate, store_error};
use crate::moment::Moment;

/// What is read of an instance.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, status::text, state::text, state_version, started_at, updated_at, ",
            "commands::text, timers::text, waiting::text from ",
            $rest
        )
    };
}

const CREATE: &[&str] = &[
    "create sequence turns",
    // Changed at every step, so with room for that in the page.
    "create table instances (
      id text collate \"C\" primary key,
      status json not null,
      state json not null,
      state_version integer not null,
      started_at timestamptz not null,
      updated_at timestamptz not null,
      commands json not null,
      timers json not null,
      waiting json not null,
      -- When it got commands to be sent; null when there are none.
      turn bigint,
      due timestamptz,
      suspended boolean not null
    ) with (fillfactor = 70)",
    "create index on instances (turn) where turn is not null",
    "create index on instances (due) where due is not null",
    "create index on instances (id) where suspended",
    "create table requests (
      instance text collate \"C\",
      action text,
      primary key (instance, action)
    )",
];

const KEEP: &str = "insert into instances
    select id, status::json, state::json, state_version, started_at, updated_at, commands::json,
           timers::json, waiting::json, case when busy then nextval('turns') end, due, suspended
      from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[],
                  $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::boolean[],
                  $11::timestamptz[], $12::boolean[])
           as given (id, status, state, state_version, started_at, updated_at, commands, timers,
                     waiting, busy, due, suspended)
    on conflict (id) do update set
      status = excluded.status, state = excluded.state, state_version = excluded.state_version,
      updated_at = excluded.updated_at, commands = excluded.commands, timers = excluded.timers,
      waiting = excluded.waiting, due = excluded.due, suspended = excluded.suspended,
      turn = case when excluded.turn is not null then coalesce(instances.turn, excluded.turn) end";

/// A command as it is kept in an instance's row.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: CommandId,
    category: String,
    /// As text, so that not a byte of it changes.
    command: String,
    correlation_id: Option<CorrelationId>,
    causation_id: CausationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Value>,
    revoked: bool,
}

impl From<&OutgoingCommand> for Kept {
    fn from(command: &OutgoingCommand) -> Self {
        Self {
            id: command.id,
            category: command.category.clone(),
            command: command.command.as_str().to_owned(),
            correlation_id: command.correlation_id,
            causation_id: command.causation_id,
            actor: command.actor.clone(),
            headers: command.headers.clone(),
            revoked: command.revoked,
        }
    }
}

impl From<Kept> for OutgoingCommand {
    fn from(kept: Kept) -> Self {
        let command = Payload::from_stored(kept.command);
        let mut outgoing = Self::new(kept.id, kept.category, command, kept.causation_id);
        outgoing.correlation_id = kept.correlation_id;
        outgoing.actor = kept.actor;
        outgoing.headers = kept.headers;
        outgoing.revoked = kept.revoked;
        outgoing
    }
}

fn instance(row: &PgRow) -> Result<Instance, StoreError> {
    let text = |at: usize| row.try_get::<String, _>(at).map_err(store_error);
    let moment = |at: usize| {
        let moment = row.try_get::<Moment, _>(at).map_err(store_error);
        moment.map(|moment| moment.0)
    };
    let version = row.try_get::<i32, _>(3).map_err(store_error)?;
    let version = u32::try_from(version).unwrap_or(0);
    let mut instance = Instance::new(text(0)?, Payload::from_stored(text(2)?), version, moment(4)?);
    instance.status = json::<InstanceStatus>(&text(1)?)?;
    instance.updated_at = moment(5)?;
    let commands = json::<Vec<Kept>>(&text(6)?)?;
    instance.commands = commands.into_iter().map(OutgoingCommand::from).collect();
    instance.timers = json::<Vec<Timer>>(&text(7)?)?;
    instance.waiting = json::<Vec<Position>>(&text(8)?)?;
    Ok(instance)
}

/// Instances as columns.
fn columns(instances: &[Instance]) -> Result<Arguments, StoreError> {
    let each = |part: &dyn Fn(&Instance) -> Result<String, StoreError>| {
        instances.iter().map(part).collect::<Result<Vec<String>, StoreError>>()
    };
    let ids: Vec<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
    let statuses = each(&|instance| to_json(&instance.status))?;
    let states: Vec<&str> = instances.iter().map(|instance| instance.state.as_str()).collect();
    let versions: Vec<i32> = instances.iter().map(|i| int(i.state_version)).collect();
    let started: Vec<Moment> = instances.iter().map(|i| Moment(i.started_at)).collect();
    let updated: Vec<Moment> = instances.iter().map(|i| Moment(i.updated_at)).collect();
    let commands =
        each(&|instance| to_json(&instance.commands.iter().map(Kept::from).collect::<Vec<_>>()))?;
    let timers = each(&|instance| to_json(&instance.timers))?;
    let waiting = each(&|instance| to_json(&instance.waiting))?;
    let busy: Vec<bool> = instances.iter().map(Instance::is_busy).collect();
    let due: Vec<Option<Moment>> = instances.iter().map(|i| i.next_due().map(Moment)).collect();
    let suspended: Vec<bool> = instances.iter().map(Instance::is_suspended).collect();
    Ok(arguments![
        ids, statuses, states, versions, started, updated, commands, timers, waiting, busy, due,
        suspended
    ])
}

impl PgReadStore {
    /// Rows of a process; none while it has no tables.
    async fn rows_of(
        &self,
        process: &ConsumerName,
        statement: &str,
        given: Arguments,
    ) -> Result<Vec<PgRow>, StoreError> {
        let schema = self.schema_of(process.as_str());
        let statement = statement.replace("SCHEMA", &schema).into();
        match self.fetch(&statement, given).await {
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            rows => rows,
        }
    }
}

/// Whether a table is not there.
fn is_missing(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| source.downcast_ref()).and_then(sqlstate);
    matches!(code, Some("42P01" | "3F000"))
}

#[async_trait]
impl ProcessStore for PgReadStore {
    async fn create_process(&self, tx: &mut PgReadTransaction) -> Result<(), StoreError> {
        if !self.shared.durable {
            let message = "processes need durable commits: `PgReadStore::for_processes()`";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        for statement in CREATE {
            run(tx, &(*statement).into(), arguments![]).await?;
        }
        Ok(())
    }

    async fn instances_in(
        &self,
        tx: &mut PgReadTransaction,
        ids: &[String],
    ) -> Result<Vec<Instance>, StoreError> {
        let select = select!("instances where id = any($1)");
        let rows = run(tx, &select.into(), arguments![ids]).await?;
        rows.iter().map(instance).collect()
    }

    async fn keep(
        &self,
        tx: &mut PgReadTransaction,
        instances: &[Instance],
    ) -> Result<(), StoreError> {
        if !instances.is_empty() {
            run(tx, &KEEP.into(), columns(instances)?).await?;
        }
        Ok(())
    }

    async fn pending_work(
        &self,
        process: &ConsumerName,
        now: Timestamp,
        limit: usize,
    ) -> Result<PendingWork, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // Mostly there is nothing to do, which one small question tells.
        let look = "select
            (select coalesce(json_agg(id), '[]') from (select id from SCHEMA.instances
              where due <= $1 order by due limit $2) due)::text,
            (select min(due) from SCHEMA.instances where due > $1),
            (select coalesce(json_agg(r), '[]') from SCHEMA.requests r)::text,
            exists (select from SCHEMA.instances where turn is not null)";
        let look = self.rows_of(process, look, arguments![Moment(now), limit]).await?;
        let mut pending = PendingWork::default();
        let Some(row) = look.first() else { return Ok(pending) };
        let text = |at: usize| row.try_get::<String, _>(at).map_err(store_error);
        pending.due = json(&text(0)?)?;
        let next = row.try_get::<Option<Moment>, _>(1).map_err(store_error)?;
        pending.next_due = next.map(|next| next.0);
        pending.requests = json(&text(2)?)?;
        if row.try_get::<bool, _>(3).map_err(store_error)? {
            let busy = select!("SCHEMA.instances where turn is not null order by turn limit $1");
            let busy = self.rows_of(process, busy, arguments![limit]).await?;
            pending.busy = busy.iter().map(instance).collect::<Result<_, _>>()?;
        }
        Ok(pending)
    }

    async fn request(&self, process: &ConsumerName, request: &Request) -> Result<bool, StoreError> {
        let insert = "with known as (select id from SCHEMA.instances where id = $1),
            asked as (insert into SCHEMA.requests select id, $2 from known on conflict do nothing)
            select 1 from known";
        let action: String = json(&to_json(&request.action)?)?;
        let given = arguments![request.instance.as_str(), action];
        Ok(!self.rows_of(process, insert, given).await?.is_empty())
    }

    async fn forget_requests(
        &self,
        process: &ConsumerName,
        requests: &[Request],
    ) -> Result<(), StoreError> {
        for request in requests {
            let delete = "delete from SCHEMA.requests where instance = $1 and action = $2";
            let action: String = json(&to_json(&request.action)?)?;
            let given = arguments![request.instance.as_str(), action];
            self.rows_of(process, delete, given).await?;
        }
        Ok(())
    }

    async fn list_instances(
        &self,
        process: &ConsumerName,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, StoreError> {
        let list = select!(
            "SCHEMA.instances
              where ($1::text is null or id = $1) and (not $2 or suspended)
                and ($3::text is null or id > $3)
              order by id limit $4"
        );
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let given = arguments![query.id.as_deref(), query.suspended, query.after.as_deref(), limit];
        let rows = self.rows_of(process, list, given).await?;
        rows.iter().map(instance).collect()
    }
}
