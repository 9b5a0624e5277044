//! The statements of the read store. [`statements`](crate::database::statements) says what is here.

pub(super) mod process;

use crate::database::statements::statements;

statements! {
    heartbeat = "select cqrs.heartbeat($1, $2, $3::json, $4, $5, $6, $7, $8)";

    leave = "
with deleted as (delete from cqrs.nodes where id = $1)
update cqrs.partitions set owner = null where owner = $1";

    inspect = "select cqrs.inspect($1, $2)";

    /// A locked row is being written to by its owner: the caller tries again later.
    acquire = "
update cqrs.partitions set epoch = nextval('cqrs.numbers'), owner = $3
 where (generation, number) in (
   select s.generation, s.number
     from cqrs.partitions s join cqrs.generations g on g.number = s.generation
    where s.generation = $1 and s.number = $2 and not g.frozen
      and (s.owner is null or s.owner = $3 or not exists (
        select from cqrs.nodes n
         where n.id = s.owner and n.alive_until > clock_timestamp()))
      for update of s skip locked)
returning epoch, position";

    release = "
update cqrs.partitions set owner = null
 where generation = $1 and number = $2 and epoch = $3";

    /// In one round trip with `begin`, so without arguments: numbers and a validated prefix are
    /// appended to the text.
    begin_partition = "begin isolation level read committed; select cqrs.begin_partition(";

    advance = "
update cqrs.partitions set position = greatest(position, $5), failure = null
 where generation = $1 and number = $2 and epoch = $3 and position >= $4";

    park = "
insert into cqrs.parked (generation, position, partition, key, error, attempts, parked_at)
values ($1, $2, $3, $4, $5, $6, $7)";

    unpark = "delete from cqrs.parked where generation = $1 and position = $2";

    parked = "
select e.position, e.key, e.error, e.attempts, e.parked_at, e.retry_requested, e.discarded
  from cqrs.parked e join cqrs.generations g on g.number = e.generation
 where g.consumer = $1 and g.number = $2 and ($3::integer is null or e.partition = $3)
 order by e.position";

    request_retry = "
update cqrs.parked e set retry_requested = true
  from cqrs.generations g
 where g.number = e.generation and g.consumer = $1 and g.live
   and e.discarded is null and ($2::text is null or e.key = $2)
returning 1";

    retried = "
update cqrs.parked e
   set retry_requested = false,
       error = case when e.position = $5 then $6 else e.error end,
       attempts = case when e.position = $5 then $7 else e.attempts end
  from cqrs.partitions s
 where s.generation = $1 and s.number = $2 and s.epoch = $3
   and e.generation = s.generation and e.partition = s.number and e.key = $4";

    discard = "
with discarded as (
  update cqrs.parked e set discarded = $3, retry_requested = true
    from cqrs.generations g
   where g.number = e.generation and g.consumer = $1 and g.live
     and e.position = $2 and e.discarded is null
  returning e.generation, e.key, e.position
), later as (
  update cqrs.parked e set retry_requested = true from discarded d
   where e.generation = d.generation and e.key = d.key and e.position <> d.position
)
select 1 from discarded";

    report = "
update cqrs.partitions set failure = $4::json
 where generation = $1 and number = $2 and epoch = $3 returning 1";

    pause = "update cqrs.consumers set paused = $2 where name = $1 returning 1";

    clear_failure = "
update cqrs.partitions s set failure = null from cqrs.generations g
 where g.number = s.generation and g.consumer = $1 and s.failure is not null";

    new_generation = "select cqrs.new_generation($1, $2, $3, $4)";

    start_after = "update cqrs.partitions set position = $2 where generation = $1";

    count_tables = "
update cqrs.generations g set tables = (
  select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = current_schema() and c.relkind in ('r', 'p'))
 where cqrs.schema_of($1, g.consumer, g.number, false) = current_schema()";

    swap_generation = "select cqrs.swap_generation($1, $2, $3, $4)";

    cancel_generation = "select cqrs.cancel_generation($1, $2)";

    drop_read_models = "select cqrs.drop_read_models()";

    old_schemas = "select name from cqrs.old_schemas order by name";

    forget_old_schema = "delete from cqrs.old_schemas where name = $1";

    begin_inline = "select cqrs.begin_inline($1, $2, $3)";

    /// A worker that still held the lease would project the same events again, so it loses it.
    advance_inline = "
update cqrs.partitions s
   set position = greatest(position, $2), epoch = 0, owner = null
  from cqrs.generations g
 where g.number = s.generation and g.consumer = $1 and g.live";
}
