-- The records about consumers. Their rows are in schemas of their own: `name` is the live one, which
-- readers see, `name#7` is generation 7 while it is being built or about to be dropped.

-- Numbers of generations and epochs of leases. None is used twice, so an old lease is never valid
-- again.
create sequence cqrs.numbers;

create table cqrs.nodes (
  id uuid primary key,
  alive_until timestamptz not null,
  capabilities json not null
);

create table cqrs.consumers (
  name text collate "C" primary key,
  paused boolean not null default false
);

create table cqrs.generations (
  number bigint primary key,
  consumer text collate "C" not null references cqrs.consumers,
  version integer not null,
  live boolean not null default false,
  -- Not leased any more, so that the generation that replaces it can catch up.
  frozen boolean not null default false,
  -- Number of tables that its projector created. If fewer exist, some were dropped.
  tables integer not null default 0,
  -- At most one that is live and one that is being built.
  unique (consumer, live)
);

-- Updated at every commit of a consumer, so the pages have room for new versions of a row.
create table cqrs.partitions (
  generation bigint references cqrs.generations on delete cascade,
  number integer,
  position bigint not null default 0,
  epoch bigint not null default 0,
  owner uuid,
  failure json,
  primary key (generation, number)
) with (fillfactor = 50);

create table cqrs.parked (
  generation bigint references cqrs.generations on delete cascade,
  position bigint,
  partition integer not null,
  key text collate "C" not null,
  error text,
  attempts integer not null,
  parked_at timestamptz not null,
  retry_requested boolean not null default false,
  -- Why an operator discarded it.
  discarded text,
  primary key (generation, position)
);
create index on cqrs.parked (generation, partition, key);

-- Schemas of former generations that are still to be dropped.
create table cqrs.old_schemas (name text primary key);
