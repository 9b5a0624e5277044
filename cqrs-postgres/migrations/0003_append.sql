-- Appends of several callers in one transaction, each with its own outcome.
--
-- A batch is passed as columns. Its *appends* are numbered from 1. An append has *parts*, one for
-- each stream; a part has *events*. No stream occurs twice in a batch.
create function cqrs.append(
  part_appends integer[],      -- the number of the part's append; ascending
  part_ids bigint[],           -- the stream's id; null if the caller does not know it
  part_names text[],
  part_expected bigint[],      -- a version; -1: any, -2: any except 0
  part_counts bigint[],        -- number of events of the part
  event_parts integer[],       -- the number of the event's part; in the order of positions
  event_numbers bigint[],      -- 1, 2, 3 ... within the part
  event_ids uuid[],
  event_types integer[],
  event_schemas integer[],
  event_times timestamptz[],   -- null: the present time
  event_correlations uuid[],
  event_datas text[],
  event_metadatas text[],
  command_appends integer[],
  command_ids uuid[],
  command_fingerprints uuid[],
  state_parts integer[],
  state_tags text[],
  state_payloads text[],
  now timestamptz,             -- null: the server's time
  out accepted boolean[],      -- for each append; null: all are
  out known integer[],         -- the rejected appends of which a part is already stored
  out part_versions bigint[],  -- the version of each stream before
  out part_streams bigint[],   -- the id of each stream; null: it does not exist
  out head bigint,             -- the head before
  out stored_at timestamptz
)
language plpgsql
-- One plan for every size: array parameters would otherwise be planned at each call, and statistics
-- from when the table was empty must not lead to a scan.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
#variable_conflict use_variable
declare
  part_accepted boolean[];
  all_accepted boolean;
  part_shifts bigint[];        -- number of rejected events before each part
  written bigint;
begin
  -- Above READ COMMITTED the snapshot is older than the lock, and what it reads is out of date.
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'appends need the isolation level READ COMMITTED' using errcode = 'CQ001';
  end if;

  -- Nothing of the log is read before this line. From here every statement sees everything that
  -- earlier holders of the lock committed, and nothing is added until this transaction has ended.
  perform pg_advisory_xact_lock(hashtextextended('cqrs.append', 0));
  stored_at := coalesce(now, clock_timestamp());
  select coalesce(max(e.position), 0) into head from cqrs.events e;

  part_streams := part_ids;
  if array_position(part_streams, null) is not null then
    select array_agg(coalesce(p.id, (select s.id from cqrs.streams s where s.name = p.name))
                     order by p.n)
      into part_streams
      from unnest(part_streams, part_names) with ordinality p(id, name, n);
  end if;

  -- The join is lateral, so the rows are in the order of the parts. Nothing below an expected version
  -- is read: an index page full of old versions of a stream costs more than everything else.
  select array_agg(p.version), array_agg(p.ok), bool_and(p.ok)
    into part_versions, part_accepted, all_accepted
    from (
      select coalesce(newest.version, 0) as version,
             case p.expected
               when -1 then true
               when -2 then newest.version is not null
               else p.expected = coalesce(newest.version, 0)
             end as ok
        from unnest(part_streams, part_expected) p(id, expected)
        left join lateral (
          select e.version from cqrs.events e
           where e.stream_id = p.id and e.version >= p.expected
           order by e.version desc limit 1
        ) newest on true
    ) p;
  part_shifts := array_fill(0::bigint, array[cardinality(part_names)]);

  if not all_accepted then
    -- The version of a stream below the expected one is looked up after all.
    select array_agg(case when p.version = 0 and p.expected > 0
                       then coalesce((select max(e.version) from cqrs.events e
                                       where e.stream_id = p.id), 0)
                       else p.version end order by p.n)
      into part_versions
      from unnest(part_streams, part_expected, part_versions)
           with ordinality p(id, expected, version, n);
    select array_agg(a.ok order by a.append) into accepted
      from (
        select p.append, bool_and(p.ok) as ok
          from unnest(part_appends, part_accepted) p(append, ok) group by p.append
      ) a;
    select array_agg(p.shift order by p.n) into part_shifts
      from (
        select p.n, sum(case when accepted[p.append] then 0 else p.events end)
                    over (order by p.n) as shift
          from unnest(part_appends, part_counts) with ordinality p(append, events, n)
      ) p;
    -- A repeated append expects a version that the stream has left. That is not a conflict.
    select array_agg(k.append) into known
      from (
        select part_appends[e.part] as append
          from unnest(event_parts, event_ids) e(part, id)
         where not accepted[part_appends[e.part]]
           and exists (select from cqrs.events x where x.event_id = e.id)
        union
        select c.append
          from unnest(command_appends, command_ids) c(append, id)
         where not accepted[c.append]
           and exists (select from cqrs.commands x where x.id = c.id)
      ) k;
  end if;

  -- A stream exists as soon as it has an event.
  if array_position(part_streams, null) is not null then
    with new as (
      insert into cqrs.streams (name)
      select p.name
        from unnest(part_streams, part_names, part_counts, part_appends)
             with ordinality p(id, name, events, append, n)
       where p.id is null and p.events > 0 and (accepted is null or accepted[p.append])
       order by p.n
      returning streams.id, streams.name
    )
    select array_agg(coalesce(p.id, new.id) order by p.n) into part_streams
      from unnest(part_streams, part_names) with ordinality p(id, name, n)
      left join new on new.name = p.name;
  end if;

  insert into cqrs.events (position, stream_id, version, type_id, schema_version, event_id,
                           recorded_at, stored_at, correlation_id, data, metadata)
  select head + e.n - part_shifts[e.part],
         part_streams[e.part], part_versions[e.part] + e.number, e.type, e.schema, e.id,
         coalesce(e.at, stored_at), case when e.at is not null then stored_at end,
         e.correlation, e.data::json, e.metadata::json
    from unnest(event_parts, event_numbers, event_ids, event_types, event_schemas, event_times,
                event_correlations, event_datas, event_metadatas)
         with ordinality e(part, number, id, type, schema, at, correlation, data, metadata, n)
   where accepted is null or accepted[part_appends[e.part]];
  get diagnostics written = row_count;

  if cardinality(command_ids) > 0 then
    insert into cqrs.commands
      (id, fingerprint, recorded_at, streams, versions, event_counts, positions)
    select c.id, c.fingerprint, stored_at,
           array_agg(p.name order by p.n), array_agg(p.version order by p.n),
           array_agg(p.events order by p.n), array_agg(p.position order by p.n)
      from unnest(command_appends, command_ids, command_fingerprints) c(append, id, fingerprint)
      join (
        select p.append, p.n, p.name, p.events, part_versions[p.n] + p.events as version,
               case when p.events > 0 then head + sum(p.events) over (order by p.n) else 0
               end::bigint as position
          from unnest(part_appends, part_names, part_counts)
               with ordinality p(append, name, events, n)
         where accepted is null or accepted[p.append]
      ) p on p.append = c.append
     group by c.append, c.id, c.fingerprint;
  end if;

  if cardinality(state_parts) > 0 then
    insert into cqrs.states as kept (name, version, tag, payload)
    select part_names[s.part], part_versions[s.part] + part_counts[s.part], s.tag, s.payload::json
      from unnest(state_parts, state_tags, state_payloads) s(part, tag, payload)
     where accepted is null or accepted[part_appends[s.part]]
    on conflict (name) do update
      set version = excluded.version, tag = excluded.tag, payload = excluded.payload;
  end if;

  if written > 0 then
    perform pg_notify('cqrs.head', (head + written)::text);
  end if;
end $$;
