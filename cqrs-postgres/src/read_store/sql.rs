//! The statements of a read store, made once for its schema.

use std::sync::Arc;

use crate::schema::Schema;

macro_rules! statements {
    ($($name:ident = $text:expr;)*) => {
        pub(super) struct Sql {
            $(pub(super) $name: Arc<str>,)*
        }

        impl Sql {
            pub(super) fn of(schema: &Schema) -> Self {
                Self { $($name: schema.sql($text),)* }
            }
        }
    };
}

statements! {
    heartbeat = "select cqrs.heartbeat($1, $2, $3::json, $4, $5, $6, $7, $8)";
    leave = "with gone as (delete from cqrs.nodes where id = $1)
        update cqrs.partitions set owner = null where owner = $1";
    describe = "select cqrs.describe($1, $2)";
    // A row that is locked is being written to by its owner: try again later.
    lease = "update cqrs.partitions set epoch = nextval('cqrs.numbers'), owner = $3
        where (generation, number) in (
          select s.generation, s.number
            from cqrs.partitions s join cqrs.generations g on g.number = s.generation
           where s.generation = $1 and s.number = $2 and not g.frozen
             and (s.owner is null or s.owner = $3 or not exists (
               select from cqrs.nodes n
                where n.id = s.owner and n.alive_until > clock_timestamp()))
             for update of s skip locked)
        returning epoch, position";
    release = "update cqrs.partitions set owner = null
        where generation = $1 and number = $2 and epoch = $3";
    // In one round trip with the beginning, so without arguments: numbers and a checked prefix.
    begin = "begin; select cqrs.enter(";
    advance = "update cqrs.partitions set position = greatest(position, $5), failure = null
        where generation = $1 and number = $2 and epoch = $3 and position >= $4";
    park = "insert into cqrs.parked
          (generation, position, number, key, error, attempts, parked_at)
        values ($1, $2, $3, $4, $5, $6, $7)";
    unpark = "delete from cqrs.parked where generation = $1 and position = $2";
    parked = "select e.position, e.key, e.error, e.attempts, e.parked_at, e.retry_requested,
               e.discarded
          from cqrs.parked e join cqrs.generations g on g.number = e.generation
         where g.projector = $1 and g.number = $2 and ($3::integer is null or e.number = $3)
         order by e.position";
    request_retry = "update cqrs.parked e set retry_requested = true
          from cqrs.generations g
         where g.number = e.generation and g.projector = $1 and g.live
           and e.discarded is null and ($2::text is null or e.key = $2)
        returning 1";
    retried = "update cqrs.parked e
           set retry_requested = false,
               error = case when e.position = $5 then $6 else e.error end,
               attempts = case when e.position = $5 then $7 else e.attempts end
          from cqrs.partitions s
         where s.generation = $1 and s.number = $2 and s.epoch = $3
           and e.generation = s.generation and e.number = s.number and e.key = $4";
    discard = "with gone as (
          update cqrs.parked e set discarded = $3, retry_requested = true
            from cqrs.generations g
           where g.number = e.generation and g.projector = $1 and g.live
             and e.position = $2 and e.discarded is null
          returning e.generation, e.key, e.position)
        , later as (
          update cqrs.parked e set retry_requested = true from gone
           where e.generation = gone.generation and e.key = gone.key
             and e.position <> gone.position)
        select 1 from gone";
    report = "update cqrs.partitions set failure = $4::json
        where generation = $1 and number = $2 and epoch = $3 returning 1";
    pause = "update cqrs.consumers set paused = $2 where name = $1 returning 1";
    clear_failure = "update cqrs.partitions s set failure = null from cqrs.generations g
        where g.number = s.generation and g.projector = $1 and s.failure is not null";
    new_generation = "select cqrs.new_generation($1, $2, $3, $4)";
    begin_after = "update cqrs.partitions set position = $2 where generation = $1";
    count_tables = "update cqrs.generations g set tables = (
          select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = current_schema() and c.relkind in ('r', 'p'))
        where cqrs.schema_of($1, g.projector, g.number, false) = current_schema()";
    drop_everything = "select cqrs.drop_read_models()";
    swap = "select cqrs.swap($1, $2, $3, $4)";
    cancel = "select cqrs.cancel($1, $2)";
    retired = "select name from cqrs.retired order by name";
    forget_retired = "delete from cqrs.retired where name = $1";
    enter_live = "select cqrs.enter_live($1, $2, $3)";
    // A worker that still has it would write the same events once more.
    advance_live = "update cqrs.partitions s
           set position = greatest(position, $2), epoch = 0, owner = null
          from cqrs.generations g
         where g.number = s.generation and g.projector = $1 and g.live";
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}
