-- Tables beside the log: outcomes of commands, snapshots, states.

create table cqrs.commands (
  id uuid primary key,
  fingerprint uuid not null,
  recorded_at timestamptz not null,
  -- The first outcome, one element for each stream of the append.
  streams text[] not null,
  versions bigint[] not null,
  event_counts bigint[] not null,
  positions bigint[] not null
);
-- Rows are inserted in the order of their times, so old ones are in few pages.
create index commands_recorded_at on cqrs.commands using brin (recorded_at);

create table cqrs.snapshots (
  stream text collate "C" primary key,
  version bigint not null,
  tag text not null,
  payload json not null,
  taken_at timestamptz not null
);

create table cqrs.states (
  name text collate "C" primary key,
  version bigint not null,
  tag text not null,
  payload json not null
);
