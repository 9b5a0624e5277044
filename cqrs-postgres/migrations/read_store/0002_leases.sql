-- Who may write.

-- The schema of a generation.
create function cqrs.schema_of(prefix text, projector text, generation bigint, live boolean)
returns text language sql immutable as $$
  select prefix || projector || case when live then '' else '#' || generation end
$$;

-- Everything on record, as JSON.
create function cqrs.describe(prefix text, only_this text)
returns text language sql stable as $$
  select coalesce(json_agg(json_build_object(
    'name', p.name,
    'paused', p.paused,
    'generations', (
      select coalesce(json_agg(json_build_object(
        'number', g.number,
        'version', g.version,
        'live', g.live,
        'intact', (
          select count(*) >= g.tables from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = cqrs.schema_of(prefix, p.name, g.number, g.live)
             and c.relkind in ('r', 'p')
        ) and exists (
          select from pg_namespace n
           where n.nspname = cqrs.schema_of(prefix, p.name, g.number, g.live)
        ),
        'partitions', (
          select coalesce(json_agg(json_build_object(
            'number', s.number,
            'position', s.position,
            'owner', (select n.id from cqrs.nodes n
                       where n.id = s.owner and n.alive_until > clock_timestamp()),
            'failure', s.failure,
            'parked', (select count(*) from cqrs.parked e where e.generation = s.generation
                        and e.number = s.number and e.discarded is null),
            'retry_requested', exists (select from cqrs.parked e where e.generation = s.generation
                        and e.number = s.number and e.retry_requested)
          ) order by s.number), '[]'::json)
          from cqrs.partitions s where s.generation = g.number)
      ) order by g.live desc), '[]'::json)
      from cqrs.generations g where g.projector = p.name)
  ) order by p.name), '[]'::json)::text
  from cqrs.consumers p
  where (only_this is null or p.name = only_this)
    and exists (select from cqrs.generations g where g.projector = p.name)
$$;

-- A node says that it is alive, and saves how far its idle partitions have got. What is locked is
-- being written to and saves itself.
create function cqrs.heartbeat(
  node uuid, lease_micros bigint, node_wants json, prefix text,
  generations bigint[], numbers integer[], epochs bigint[], positions bigint[]
) returns text language plpgsql as $$
begin
  delete from cqrs.nodes where alive_until < clock_timestamp() - interval '1 minute';
  insert into cqrs.nodes values (
    node, clock_timestamp() + lease_micros * interval '1 microsecond', node_wants
  ) on conflict (id) do update set alive_until = excluded.alive_until, capabilities = excluded.capabilities;
  if cardinality(generations) > 0 then
    with saved as (
      select s.generation, s.number, g.position
        from unnest(generations, numbers, epochs, positions)
             as g (generation, number, epoch, position)
        join cqrs.partitions s
          on s.generation = g.generation and s.number = g.number and s.epoch = g.epoch
       where s.position < g.position
         for update of s skip locked
    )
    update cqrs.partitions s set position = saved.position from saved
     where s.generation = saved.generation and s.number = saved.number;
  end if;
  return json_build_object(
    'nodes', (
      select coalesce(json_agg(json_build_object('id', n.id, 'capabilities', n.capabilities)), '[]'::json)
        from cqrs.nodes n where n.alive_until > clock_timestamp()),
    'consumers', cqrs.describe(prefix, null)::json
  )::text;
end $$;

-- Begins to write to a partition. Whoever has its row has the right until the transaction ends,
-- and finds out at its end whether that was so. The server ends the transaction of a client that
-- falls silent, so nobody waits for that for long. It never raises an error: the driver could not
-- tell in which state that leaves the connection. Its commit need not be waited for: what a crash of
-- the server takes with it is rows and checkpoint together, and the log still has the events.
create function cqrs.enter(
  in_generation bigint, in_number integer, in_epoch bigint, prefix text, silent_millis bigint,
  durable boolean
) returns void language plpgsql as $$
declare
  schema_name text;
begin
  perform from cqrs.partitions s
    where s.generation = in_generation and s.number = in_number and s.epoch = in_epoch for update;
  -- Looked up behind the lock: a swap gives the schema another name, and waits for the row.
  select cqrs.schema_of(prefix, g.projector, g.number, g.live) into schema_name
    from cqrs.generations g where g.number = in_generation;
  perform set_config('search_path', coalesce(quote_ident(schema_name) || ', ', '') || 'public',
                     true),
          set_config('idle_in_transaction_session_timeout', silent_millis::text, true),
          case when not durable then set_config('synchronous_commit', 'off', true) end;
end $$;

-- The same for an append, which needs no lease: the lock of the log has only one at it.
create function cqrs.enter_live(in_projector text, in_version integer, prefix text)
returns bigint language plpgsql as $$
declare
  found_generation bigint;
  known bigint;
begin
  select g.number into found_generation from cqrs.generations g
    where g.projector = in_projector and g.live and g.version = in_version;
  perform from cqrs.partitions s where s.generation = found_generation
    order by s.number for update;
  -- It may have been swapped while the rows were waited for.
  select min(s.position) into known
    from cqrs.partitions s join cqrs.generations g on g.number = s.generation
    where g.number = found_generation and g.live;
  if known is not null then
    perform set_config('search_path', quote_ident(prefix || in_projector) || ', public', true);
  end if;
  return known;
end $$;
