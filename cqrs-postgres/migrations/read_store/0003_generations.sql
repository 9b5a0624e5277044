-- Building generations of read models, and replacing the live one.

-- Starts a generation; returns null if a suitable one is being built already. The caller creates the
-- tables, in the schema to which this sets the search path.
create function cqrs.new_generation(
  in_consumer text, in_version integer, in_partitions integer, prefix text
) returns bigint language plpgsql as $$
declare
  old cqrs.generations;
  new_number bigint;
  schema_name text;
begin
  insert into cqrs.consumers (name) values (in_consumer) on conflict do nothing;
  perform from cqrs.consumers where name = in_consumer for update;
  select * into old from cqrs.generations g where g.consumer = in_consumer and not g.live;
  if found then
    if old.version > in_version or (
      old.version = in_version
      and in_partitions = (select count(*) from cqrs.partitions where generation = old.number)
      and exists (select from pg_namespace
                   where nspname = cqrs.schema_of(prefix, in_consumer, old.number, false))
    ) then
      return null;
    end if;
    perform cqrs.cancel_generation(in_consumer, prefix);
  end if;
  new_number := nextval('cqrs.numbers');
  insert into cqrs.generations (number, consumer, version)
    values (new_number, in_consumer, in_version);
  insert into cqrs.partitions (generation, number)
    select new_number, generate_series(0, in_partitions - 1);
  schema_name := cqrs.schema_of(prefix, in_consumer, new_number, false);
  execute format('create schema %I', schema_name);
  -- Marks it as ours: a schema without this comment is never renamed or dropped.
  execute format('comment on schema %I is %L', schema_name, 'read model of cqrs.');
  perform set_config('search_path', quote_ident(schema_name) || ', public', true);
  return new_number;
end $$;

-- Drops the generation that is being built. Returns false if there is none.
create function cqrs.cancel_generation(in_consumer text, prefix text)
returns boolean language plpgsql as $$
declare
  dropped bigint;
begin
  perform from cqrs.consumers where name = in_consumer for update;
  update cqrs.generations set frozen = false where consumer = in_consumer and frozen;
  -- Waits for transactions that write to it, and prevents new ones.
  perform from cqrs.partitions s join cqrs.generations g on g.number = s.generation
    where g.consumer = in_consumer and not g.live order by s.number for update of s;
  delete from cqrs.generations where consumer = in_consumer and not live
    returning number into dropped;
  if dropped is null then
    return false;
  end if;
  execute format('drop schema if exists %I cascade',
                 cqrs.schema_of(prefix, in_consumer, dropped, false));
  return true;
end $$;

-- Replaces the live generation by a new one that has caught up with it. Returns 'done', 'behind' if
-- it has not caught up, 'gone' if it does not exist any more, or 'foreign' if the name belongs to a
-- schema that is not a read model. A lag of at most `freeze_at_lag` freezes the live generation.
create function cqrs.swap_generation(
  in_consumer text, in_generation bigint, prefix text, freeze_at_lag bigint
) returns text language plpgsql as $$
declare
  live_number bigint;
  built bigint;
  furthest bigint;
  live_schema text := prefix || in_consumer;
  old_schema text;
begin
  perform from cqrs.consumers where name = in_consumer for update;
  perform from cqrs.generations
    where number = in_generation and consumer = in_consumer and not live;
  if not found then
    return 'gone';
  end if;
  select number into live_number from cqrs.generations where consumer = in_consumer and live;
  -- Transactions that write finish first; no new one starts.
  perform from cqrs.partitions where generation in (in_generation, live_number)
    order by generation, number for update;
  select min(position) into built from cqrs.partitions where generation = in_generation;
  select max(position) into furthest from cqrs.partitions where generation = live_number;
  if furthest > built then
    if furthest - built <= freeze_at_lag then
      update cqrs.generations set frozen = true where number = live_number;
      -- Its leases end, and it is not leased again.
      update cqrs.partitions set epoch = 0 where generation = live_number;
    end if;
    return 'behind';
  end if;
  if exists (select from pg_namespace where nspname = live_schema) then
    if obj_description(live_schema::regnamespace::oid, 'pg_namespace')
       is distinct from 'read model of cqrs.' then
      return 'foreign';
    end if;
    old_schema := live_schema || '#' || coalesce(live_number, nextval('cqrs.numbers'));
    execute format('alter schema %I rename to %I', live_schema, old_schema);
    insert into cqrs.old_schemas values (old_schema) on conflict do nothing;
  end if;
  execute format('alter schema %I rename to %I',
                 cqrs.schema_of(prefix, in_consumer, in_generation, false), live_schema);
  delete from cqrs.generations where number = live_number;
  update cqrs.generations set live = true, frozen = false where number = in_generation;
  return 'done';
end $$;

-- Drops every schema in the database that is marked as a read model, whatever its name is.
create function cqrs.drop_read_models() returns void language plpgsql as $$
declare
  found name;
begin
  for found in
    select nspname from pg_namespace
     where obj_description(oid, 'pg_namespace') = 'read model of cqrs.'
  loop
    execute format('drop schema %I cascade', found);
  end loop;
end $$;
