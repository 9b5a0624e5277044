-- Durable subscriptions: their checkpoints and leases.

-- No epoch is used twice, even if a subscription is deleted and created again, so an old lease is
-- never valid again.
create sequence cqrs.epochs;

create table cqrs.subscriptions (
  name text collate "C" primary key,
  position bigint not null,
  epoch bigint not null,
  owner uuid,
  held_until timestamptz
);
