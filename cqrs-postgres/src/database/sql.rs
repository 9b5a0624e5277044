//! The statements of the event store. [`statements`](super::statements) says what is here.

use cqrs_core::store::{Direction, Filter, StreamOrder};

use super::statements::statements;

/// The columns of an event, in the order in which they are read.
macro_rules! event_columns {
    () => {
        "e.position, e.stream_id, e.version, e.type_id, e.schema_version, e.event_id, \
         e.recorded_at, e.data, e.metadata"
    };
}

/// A page of a stream. `$1` is the stream's id if it is known, `$2` its name, `$3` and `$4` the
/// first and the last version, `$5` the size of the page.
///
/// The last column is the version of the stream now; one index look-up for the whole statement.
macro_rules! stream_page {
    ($order:literal) => {
        concat!(
            "select ",
            event_columns!(),
            ", (select max(x.version) from cqrs.events x where x.stream_id = \
                  coalesce($1, (select s.id from cqrs.streams s where s.name = $2))) \
               from cqrs.events e \
              where e.stream_id = \
                      coalesce($1, (select s.id from cqrs.streams s where s.name = $2)) \
                and e.version between $3 and $4 \
              order by e.version ",
            $order,
            " limit $5"
        )
    };
}

/// A page of streams, with what is shown of each. `ends` are its newest and its first event.
macro_rules! stream_info {
    () => {
        "select s.name, newest.version, newest.position, \
                first.recorded_at as created_at, newest.recorded_at as updated_at from "
    };
    (ends) => {
        " cross join lateral (
            select e.version, e.position, e.recorded_at from cqrs.events e
             where e.stream_id = s.id order by e.version desc limit 1
          ) newest
          cross join lateral (
            select e.recorded_at from cqrs.events e
             where e.stream_id = s.id order by e.version limit 1
          ) first "
    };
    (matching) => {
        "where $1 = '' or strpos(s.name, $1) > 0"
    };
}

statements! {
    append = "
select accepted, known, part_versions, part_streams, head, stored_at
  from cqrs.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                   $18, $19, $20, $21)";

    append_one = "
select accepted, known, part_version, stream, head, stored_at
  from cqrs.append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

    /// In a separate transaction: if a type were rolled back with an append, its id would stay
    /// in the cache of the process.
    add_types = "
with new as (
  insert into cqrs.event_types (name)
  select given.name from unnest($1::text[]) given (name)
   where not exists (select from cqrs.event_types t where t.name = given.name)
  on conflict do nothing
  returning id, name
)
select id, name from new
union all
select id, name from cqrs.event_types where name = any($1)";

    lock_log = "
select current_setting('transaction_isolation'),
       case current_setting('synchronous_commit')
         when 'off' then set_config('synchronous_commit', 'on', true) end,
       pg_advisory_xact_lock(hashtextextended('cqrs.append', 0))";

    known_events = "
select e.position, e.event_id, e.version, s.name, coalesce(e.stored_at, e.recorded_at)
  from cqrs.events e join cqrs.streams s on s.id = e.stream_id
 where e.event_id = any($1::uuid[])
 order by e.position";

    version_before = "
select e.version
  from cqrs.streams s join cqrs.events e on e.stream_id = s.id
 where s.name = $1 and e.position < $2
 order by e.version desc limit 1";

    find_command = "
select id, fingerprint, recorded_at, streams, versions, event_counts, positions
  from cqrs.commands where id = $1";

    /// In pieces, so that no statement takes long and no row is locked for long.
    forget_commands = "
with old as (
  select id from cqrs.commands where recorded_at < $1 order by recorded_at limit 10000
  for update skip locked
), deleted as (
  delete from cqrs.commands c using old where c.id = old.id returning 1
)
select count(*) from deleted";

    head = "select coalesce(max(position), 0) from cqrs.events";

    /// The events after a position: the most frequent page of the log.
    events_after = concat!(
        "select ",
        event_columns!(),
        " from cqrs.events e where e.position > $1 order by e.position limit $2"
    );

    stream_names = "select id, name from cqrs.streams where id = any($1::bigint[])";

    type_names = "select id, name from cqrs.event_types where id = any($1::integer[])";

    stream_forward = stream_page!("asc");

    stream_backward = stream_page!("desc");

    stream_version = "
select coalesce(max(e.version), 0)
  from cqrs.events e join cqrs.streams s on s.id = e.stream_id
 where s.name = $1";

    stream_info = concat!(
        stream_info!(),
        "cqrs.streams s",
        stream_info!(ends),
        "where s.name = $1"
    );

    count_streams = concat!("select count(*) from cqrs.streams s ", stream_info!(matching));

    /// One row if the lease was granted. Of two at once the second waits for the first and then
    /// finds its lease. If the same owner repeats it, the first of the two leases is an old one,
    /// which no caller has received.
    acquire_checkpoint = "
insert into cqrs.subscriptions as kept (name, position, epoch, owner, held_until)
values ($1, $2, nextval('cqrs.epochs'), $3, clock_timestamp() + $4 * interval '1 microsecond')
on conflict (name) do update
  set epoch = excluded.epoch, owner = excluded.owner, held_until = excluded.held_until
  where kept.owner = excluded.owner or kept.held_until is null
     or kept.held_until <= clock_timestamp()
returning kept.epoch, kept.position";

    renew_checkpoint = "
update cqrs.subscriptions
   set held_until = case when held_until is not null
                      then clock_timestamp() + $3 * interval '1 microsecond' end
 where name = $1 and epoch = $2 returning 1";

    save_checkpoint = "
update cqrs.subscriptions set position = greatest(position, $3)
 where name = $1 and epoch = $2 returning 1";

    release_checkpoint = "
update cqrs.subscriptions set owner = null, held_until = null where name = $1 and epoch = $2";

    list_checkpoints = "
select name, position,
       case when held_until > clock_timestamp() then owner end,
       case when held_until > clock_timestamp() then held_until end
  from cqrs.subscriptions where $1::text is null or name = $1 order by name";

    reset_checkpoint = "
update cqrs.subscriptions
   set position = $2, epoch = nextval('cqrs.epochs'), owner = null, held_until = null
 where name = $1 returning 1";

    delete_checkpoint = "delete from cqrs.subscriptions where name = $1 returning 1";

    load_snapshot = "
select version, tag, payload::text, taken_at from cqrs.snapshots where stream = $1";

    save_snapshot = "
insert into cqrs.snapshots (stream, version, tag, payload, taken_at)
values ($1, $2, $3, $4::text::json, $5)
on conflict (stream) do update
  set version = excluded.version, tag = excluded.tag, payload = excluded.payload,
      taken_at = excluded.taken_at";

    delete_snapshot = "delete from cqrs.snapshots where stream = $1";

    load_state = "select version, tag, payload::text from cqrs.states where name = $1";

    /// One row if the state was stored. Of two at once the second waits for the first and then
    /// finds the row. A state that was written with the events of another stream may be at
    /// version 0.
    insert_state = "
insert into cqrs.states as kept (name, version, tag, payload)
values ($1, 1, $3, $4::text::json)
on conflict (name) do update
  set version = excluded.version, tag = excluded.tag, payload = excluded.payload
  where kept.version = $2
returning kept.version";

    update_state = "
update cqrs.states set version = version + 1, tag = $3, payload = $4::text::json
 where name = $1 and version = $2
returning version";
}

/// A page of the log. `$1` and `$2` are the first and the last position, `$3` the size of the page,
/// `$4` to `$7` the stream, the categories, the types and the correlation id of the filter. The
/// text mentions only those that the filter has.
pub(crate) fn log_page(filter: &Filter, direction: Direction) -> String {
    let mut conditions = String::new();
    if filter.stream.is_some() {
        conditions.push_str(
            " and e.stream_id = (select s.id from cqrs.streams s where s.name = $4::text)",
        );
    }
    if !filter.categories.is_empty() {
        conditions.push_str(
            " and exists (select from cqrs.streams s \
                where s.id = e.stream_id and s.category = any($5::text[]))",
        );
    }
    if !filter.types.is_empty() {
        conditions.push_str(
            " and e.type_id = any(array(select t.id from cqrs.event_types t \
                where t.name = any($6::text[])))",
        );
    }
    if filter.correlation_id.is_some() {
        conditions.push_str(" and e.correlation_id = $7::uuid");
    }
    // In one stream versions are in the order of positions, and they have an index.
    let key = if filter.stream.is_some() { "version" } else { "position" };
    let order = order(direction);
    format!(
        "select {} from cqrs.events e \
          where e.position between $1 and $2{conditions} \
          order by e.{key} {order} limit $3",
        event_columns!()
    )
}

/// A page of streams whose names contain `$1`. `$2` is the size of the page, `$3` its offset.
pub(crate) fn streams_page(by: StreamOrder, direction: Direction) -> String {
    let (info, ends, matching) = (stream_info!(), stream_info!(ends), stream_info!(matching));
    let direction = order(direction);
    let order = match by {
        // The index on names selects the page before anything else is looked up.
        StreamOrder::Name => {
            return format!(
                "{info} (select * from cqrs.streams s {matching} \
                   order by s.name {direction} limit $2 offset $3) s {ends} \
                 order by s.name {direction}"
            );
        }
        StreamOrder::Version => "newest.version",
        StreamOrder::CreatedAt => "first.recorded_at",
        StreamOrder::Position => "newest.position",
    };
    format!(
        "{info} cqrs.streams s {ends} {matching} \
          order by {order} {direction}, s.name limit $2 offset $3"
    )
}

const fn order(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "asc",
        Direction::Backward => "desc",
    }
}
