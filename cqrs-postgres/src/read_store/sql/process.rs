//! The statements of processes. Those of a transaction find their tables by its search path; in the
//! others `SCHEMA` stands for the schema of the process.

/// The columns of an instance, in the order in which they are read.
macro_rules! select_instances {
    ($rest:literal) => {
        concat!(
            "select id, status::text, state::text, state_version, started_at, updated_at, ",
            "commands::text, timers::text, waiting::text from ",
            $rest
        )
    };
}

pub(in crate::read_store) const CREATE: [&str; 6] = [
    "create sequence outbox_positions",
    // Updated at every step, so the pages have room for new versions of a row.
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
       -- The order in which instances with commands to send are served; null without commands.
       outbox_position bigint,
       due timestamptz,
       suspended boolean not null
     ) with (fillfactor = 70)",
    "create index on instances (outbox_position) where outbox_position is not null",
    "create index on instances (due) where due is not null",
    "create index on instances (id) where suspended",
    "create table requests (
       instance text collate \"C\",
       action text,
       primary key (instance, action)
     )",
];

pub(in crate::read_store) const FIND: &str = select_instances!("instances where id = any($1)");

pub(in crate::read_store) const SAVE: &str = "
insert into instances
select id, status::json, state::json, state_version, started_at, updated_at, commands::json,
       timers::json, waiting::json, case when busy then nextval('outbox_positions') end, due,
       suspended
  from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[],
              $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::boolean[],
              $11::timestamptz[], $12::boolean[])
       as given (id, status, state, state_version, started_at, updated_at, commands, timers,
                 waiting, busy, due, suspended)
on conflict (id) do update set
  status = excluded.status, state = excluded.state, state_version = excluded.state_version,
  updated_at = excluded.updated_at, commands = excluded.commands, timers = excluded.timers,
  waiting = excluded.waiting, due = excluded.due, suspended = excluded.suspended,
  outbox_position = case when excluded.outbox_position is not null
                      then coalesce(instances.outbox_position, excluded.outbox_position) end";

/// Mostly nothing is pending, which this one statement finds out.
pub(in crate::read_store) const PENDING: &str = "
select
  (select coalesce(json_agg(id), '[]') from (
     select id from SCHEMA.instances where due <= $1 order by due limit $2) due)::text,
  (select min(due) from SCHEMA.instances where due > $1),
  (select coalesce(json_agg(r), '[]') from SCHEMA.requests r)::text,
  exists (select from SCHEMA.instances where outbox_position is not null)";

pub(in crate::read_store) const BUSY: &str = select_instances!(
    "SCHEMA.instances where outbox_position is not null order by outbox_position limit $1"
);

pub(in crate::read_store) const REQUEST: &str = "
with known as (
  select id from SCHEMA.instances where id = $1
), inserted as (
  insert into SCHEMA.requests select id, $2 from known on conflict do nothing
)
select 1 from known";

pub(in crate::read_store) const FORGET_REQUEST: &str =
    "delete from SCHEMA.requests where instance = $1 and action = $2";

pub(in crate::read_store) const LIST: &str = select_instances!(
    "SCHEMA.instances
      where ($1::text is null or id = $1) and (not $2 or suspended)
        and ($3::text is null or id > $3)
      order by id limit $4"
);
