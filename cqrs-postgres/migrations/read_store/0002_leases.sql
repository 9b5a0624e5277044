-- Leases: which node may write to which partition.

-- The schema of a generation.
create function cqrs.schema_of(prefix text, consumer text, generation bigint, live boolean)
returns text language sql immutable as $$
  select prefix || consumer || case when live then '' else '#' || generation end
$$;

-- The records of all consumers, or of one, as JSON.
create function cqrs.inspect(prefix text, only_consumer text)
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
                        and e.partition = s.number and e.discarded is null),
            'retry_requested', exists (select from cqrs.parked e where e.generation = s.generation
                        and e.partition = s.number and e.retry_requested)
          ) order by s.number), '[]'::json)
          from cqrs.partitions s where s.generation = g.number)
      ) order by g.live desc), '[]'::json)
      from cqrs.generations g where g.consumer = p.name)
  ) order by p.name), '[]'::json)::text
  from cqrs.consumers p
  where (only_consumer is null or p.name = only_consumer)
    and exists (select from cqrs.generations g where g.consumer = p.name)
$$;

-- Extends the lease of a node and saves the checkpoints of its idle partitions. A locked partition is
-- being written to and saves its own. Returns all nodes and consumers.
create function cqrs.heartbeat(
  node uuid, lease_micros bigint, node_capabilities json, prefix text,
  generations bigint[], numbers integer[], epochs bigint[], positions bigint[]
) returns text language plpgsql as $$
begin
  delete from cqrs.nodes where alive_until < clock_timestamp() - interval '1 minute';
  insert into cqrs.nodes values (
    node, clock_timestamp() + lease_micros * interval '1 microsecond', node_capabilities
  ) on conflict (id) do update
    set alive_until = excluded.alive_until, capabilities = excluded.capabilities;
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
      select coalesce(json_agg(json_build_object(
               'id', n.id, 'capabilities', n.capabilities)), '[]'::json)
        from cqrs.nodes n where n.alive_until > clock_timestamp()),
    'consumers', cqrs.inspect(prefix, null)::json
  )::text;
end $$;

-- Begins a transaction that writes to a partition. It locks the partition's row, so no other node can
-- take the lease until the transaction ends; the update of the checkpoint at its end finds out
-- whether the lease was valid. The server ends a transaction that is idle for too long, so others
-- wait for a limited time. The function never raises an error, after which the driver would not
-- know the state of the connection. Without `durable`, the commit does not wait for the disk: a
-- crash of the server loses rows and checkpoint together, and the log still has the events.
create function cqrs.begin_partition(
  in_generation bigint, in_number integer, in_epoch bigint, prefix text,
  idle_timeout_millis bigint, durable boolean
) returns void language plpgsql as $$
declare
  schema_name text;
begin
  perform from cqrs.partitions s
    where s.generation = in_generation and s.number = in_number and s.epoch = in_epoch for update;
  -- Looked up under the lock: a swap renames the schema, and waits for the row.
  select cqrs.schema_of(prefix, g.consumer, g.number, g.live) into schema_name
    from cqrs.generations g where g.number = in_generation;
  perform set_config('search_path', coalesce(quote_ident(schema_name) || ', ', '') || 'public',
                     true),
          set_config('idle_in_transaction_session_timeout', idle_timeout_millis::text, true),
          case when not durable then set_config('synchronous_commit', 'off', true) end;
end $$;

-- The same for an append with an inline projection. It needs no lease, because it holds the lock of
-- the log. Returns the checkpoint, or null if no generation of this version is live.
create function cqrs.begin_inline(in_consumer text, in_version integer, prefix text)
returns bigint language plpgsql as $$
declare
  found_generation bigint;
  checkpoint bigint;
begin
  select g.number into found_generation from cqrs.generations g
    where g.consumer = in_consumer and g.live and g.version = in_version;
  perform from cqrs.partitions s where s.generation = found_generation
    order by s.number for update;
  -- It may have been replaced while this waited for the rows.
  select min(s.position) into checkpoint
    from cqrs.partitions s join cqrs.generations g on g.number = s.generation
    where g.number = found_generation and g.live;
  if checkpoint is not null then
    perform set_config('search_path', quote_ident(prefix || in_consumer) || ', public', true);
  end if;
  return checkpoint;
end $$;
