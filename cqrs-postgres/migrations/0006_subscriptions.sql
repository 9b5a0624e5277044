-- Durable subscriptions: how far each has got, and who may move it.

-- An epoch is never used twice, also when a subscription is removed and made again: an old claim
-- must not come to life.
create sequence cqrs.epochs;

create table cqrs.subscriptions (
  name text collate "C" primary key,
  position bigint not null,
  epoch bigint not null,
  owner uuid,
  held_until timestamptz
);
