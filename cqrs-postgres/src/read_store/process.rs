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

use super::database::{PgReadTransaction, execute};
use super::rows::{json, to_json};
use super::sql::process as sql;
use super::store::PgReadStore;
use crate::Pg;
use crate::database::arguments::{Arguments, arguments};
use crate::database::error::{sqlstate, store_error};
use crate::database::numbers::int;

/// A command as it is stored in the row of an instance.
#[derive(Serialize, Deserialize)]
struct StoredCommand {
    id: CommandId,
    category: String,
    /// As text, so that none of its bytes changes.
    command: String,
    correlation_id: Option<CorrelationId>,
    causation_id: CausationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Value>,
    revoked: bool,
}

impl From<&OutgoingCommand> for StoredCommand {
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

impl From<StoredCommand> for OutgoingCommand {
    fn from(stored: StoredCommand) -> Self {
        let command = Payload::from_stored(stored.command);
        let mut outgoing = Self::new(stored.id, stored.category, command, stored.causation_id);
        outgoing.correlation_id = stored.correlation_id;
        outgoing.actor = stored.actor;
        outgoing.headers = stored.headers;
        outgoing.revoked = stored.revoked;
        outgoing
    }
}

fn instance(row: &PgRow) -> Result<Instance, StoreError> {
    let text = |at: usize| row.try_get::<String, _>(at).map_err(store_error);
    let time = |at: usize| row.try_get(at).map(|Pg(time)| time).map_err(store_error);
    let version = row.try_get::<i32, _>(3).map_err(store_error)?;
    let version = u32::try_from(version).unwrap_or(0);
    let mut instance = Instance::new(text(0)?, Payload::from_stored(text(2)?), version, time(4)?);
    instance.status = json::<InstanceStatus>(&text(1)?)?;
    instance.updated_at = time(5)?;
    let commands = json::<Vec<StoredCommand>>(&text(6)?)?;
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
    let started: Vec<Pg<Timestamp>> = instances.iter().map(|i| Pg(i.started_at)).collect();
    let updated: Vec<Pg<Timestamp>> = instances.iter().map(|i| Pg(i.updated_at)).collect();
    let commands = each(&|instance| {
        to_json(&instance.commands.iter().map(StoredCommand::from).collect::<Vec<_>>())
    })?;
    let timers = each(&|instance| to_json(&instance.timers))?;
    let waiting = each(&|instance| to_json(&instance.waiting))?;
    let busy: Vec<bool> = instances.iter().map(Instance::is_busy).collect();
    let due: Vec<Option<Pg<Timestamp>>> = instances.iter().map(|i| i.next_due().map(Pg)).collect();
    let suspended: Vec<bool> = instances.iter().map(Instance::is_suspended).collect();
    Ok(arguments![
        ids, statuses, states, versions, started, updated, commands, timers, waiting, busy, due,
        suspended
    ])
}

impl PgReadStore {
    /// Executes a statement on the tables of a process; no rows if they do not exist yet.
    async fn rows_of(
        &self,
        process: &ConsumerName,
        statement: &str,
        given: Arguments,
    ) -> Result<Vec<PgRow>, StoreError> {
        let schema = self.schema_of(process.as_str());
        let statement = statement.replace("SCHEMA", &schema).into();
        match self.database.fetch(&statement, given).await {
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            rows => rows,
        }
    }
}

/// Returns `true` if a table or a schema is missing.
fn is_missing(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| source.downcast_ref()).and_then(sqlstate);
    matches!(code, Some("42P01" | "3F000"))
}

#[async_trait]
impl ProcessStore for PgReadStore {
    async fn create_process(&self, tx: &mut PgReadTransaction) -> Result<(), StoreError> {
        if !self.database.durable {
            let message = "processes need a store with durable commits; create it with \
                           `PgReadStore::for_processes()`";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        for statement in sql::CREATE {
            execute(tx, &statement.into(), arguments![]).await?;
        }
        Ok(())
    }

    async fn instances_in(
        &self,
        tx: &mut PgReadTransaction,
        ids: &[String],
    ) -> Result<Vec<Instance>, StoreError> {
        let rows = execute(tx, &sql::FIND.into(), arguments![ids]).await?;
        rows.iter().map(instance).collect()
    }

    async fn keep(
        &self,
        tx: &mut PgReadTransaction,
        instances: &[Instance],
    ) -> Result<(), StoreError> {
        if !instances.is_empty() {
            execute(tx, &sql::SAVE.into(), columns(instances)?).await?;
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
        let found = self.rows_of(process, sql::PENDING, arguments![Pg(now), limit]).await?;
        let mut pending = PendingWork::default();
        let Some(row) = found.first() else { return Ok(pending) };
        let text = |at: usize| row.try_get::<String, _>(at).map_err(store_error);
        pending.due = json(&text(0)?)?;
        let next = row.try_get::<Option<Pg<Timestamp>>, _>(1).map_err(store_error)?;
        pending.next_due = next.map(|Pg(next)| next);
        pending.requests = json(&text(2)?)?;
        if row.try_get::<bool, _>(3).map_err(store_error)? {
            let busy = self.rows_of(process, sql::BUSY, arguments![limit]).await?;
            pending.busy = busy.iter().map(instance).collect::<Result<_, _>>()?;
        }
        Ok(pending)
    }

    async fn request(&self, process: &ConsumerName, request: &Request) -> Result<bool, StoreError> {
        let action: String = json(&to_json(&request.action)?)?;
        let given = arguments![request.instance.as_str(), action];
        Ok(!self.rows_of(process, sql::REQUEST, given).await?.is_empty())
    }

    async fn forget_requests(
        &self,
        process: &ConsumerName,
        requests: &[Request],
    ) -> Result<(), StoreError> {
        for request in requests {
            let action: String = json(&to_json(&request.action)?)?;
            let given = arguments![request.instance.as_str(), action];
            self.rows_of(process, sql::FORGET_REQUEST, given).await?;
        }
        Ok(())
    }

    async fn list_instances(
        &self,
        process: &ConsumerName,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, StoreError> {
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let given = arguments![query.id.as_deref(), query.suspended, query.after.as_deref(), limit];
        let rows = self.rows_of(process, sql::LIST, given).await?;
        rows.iter().map(instance).collect()
    }
}
