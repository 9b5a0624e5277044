-- The log. No row of these three tables is ever updated or deleted.

create table cqrs.streams (
  id bigint generated always as identity primary key,
  name text collate "C" not null unique,
  -- The part of the name before the first dash.
  category text collate "C" not null generated always as (split_part(name, '-', 1)) stored,
  constraint streams_name_length check (octet_length(name) between 1 and 2048)
);
create index streams_category on cqrs.streams (category);

create table cqrs.event_types (
  id integer generated always as identity primary key,
  name text collate "C" not null unique,
  constraint event_types_name_length check (octet_length(name) between 1 and 255)
);

-- No version counter and no foreign key: only `append` writes here, and the newest row has the version.
create table cqrs.events (
  position bigint primary key,
  stream_id bigint not null,
  version bigint not null,
  type_id integer not null,
  schema_version integer not null,
  event_id uuid not null unique,
  recorded_at timestamptz not null,
  -- When it was stored, if that differs from `recorded_at`.
  stored_at timestamptz,
  -- A copy of the value in `metadata`, for the index.
  correlation_id uuid,
  data json not null,
  metadata json,
  unique (stream_id, version)
);
create index events_correlation on cqrs.events (correlation_id, position)
  where correlation_id is not null;
-- Large payloads are compressed with lz4 if the server supports it (14 and newer): a quarter faster
-- than the built-in method, and smaller.
do $$ begin
  execute 'alter table cqrs.events alter column data set compression lz4';
exception when syntax_error or invalid_parameter_value or feature_not_supported then null;
end $$;
-- An insert-only table is vacuumed for its visibility map: often, and a little at a time.
alter table cqrs.events set (autovacuum_vacuum_insert_scale_factor = 0.02);

create function cqrs.reject_change() returns trigger language plpgsql as $$
begin
  raise exception '% on "%" is rejected: the log is append-only', tg_op, tg_table_name
    using errcode = 'insufficient_privilege',
          hint = 'To correct an event, append another one.';
end $$;

create trigger log_is_append_only before update or delete or truncate on cqrs.events
  for each statement execute function cqrs.reject_change();
create trigger log_is_append_only before update or delete or truncate on cqrs.streams
  for each statement execute function cqrs.reject_change();
create trigger log_is_append_only before update or delete or truncate on cqrs.event_types
  for each statement execute function cqrs.reject_change();
