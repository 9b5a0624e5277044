-- What is on record about projectors. Their rows stand in schemas of their own: `name` is what
-- readers see, `name#7` is generation 7 while it is built or about to be dropped.

-- Generations and epochs. Never used twice: an old lease must not come to life.
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
  projector text collate "C" not null references cqrs.consumers,
  version integer not null,
  live boolean not null default false,
  -- Held back, so that the one being built can get ahead of it.
  frozen boolean not null default false,
  -- How many tables its projector made: fewer means that somebody dropped some.
  tables integer not null default 0,
  -- At most one that readers see and one that is built.
  unique (projector, live)
);

-- Changed at every commit of a projector, so with room for that in the page.
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
  number integer not null,
  key text collate "C" not null,
  error text,
  attempts integer not null,
  parked_at timestamptz not null,
  retry_requested boolean not null default false,
  discarded text,
  primary key (generation, position)
);
create index on cqrs.parked (generation, number, key);

-- Schemas that nobody sees any more and that are still to be dropped.
create table cqrs.retired (name text primary key);
