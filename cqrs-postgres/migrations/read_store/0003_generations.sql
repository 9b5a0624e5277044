-- Building read models and putting them in place.

-- Begins a generation; no row when one that fits is being built already. The caller makes the
-- tables, in the schema that the search path names from here on.
create function cqrs.new_generation(
  in_projector text, in_version integer, in_partitions integer, prefix text
) returns bigint language plpgsql as $$
declare
  old cqrs.generations;
  new_number bigint;
  schema_name text;
begin
  insert into cqrs.consumers (name) values (in_projector) on conflict do nothing;
  perform from cqrs.consumers where name = in_projector for update;
  select * into old from cqrs.generations g where g.projector = in_projector and not g.live;
  if found then
    if old.version > in_version or (
      old.version = in_version
      and in_partitions = (select count(*) from cqrs.partitions where generation = old.number)
      and exists (select from pg_namespace
                   where nspname = cqrs.schema_of(prefix, in_projector, old.number, false))
    ) then
      return null;
    end if;
    perform cqrs.cancel(in_projector, prefix);
  end if;
  new_number := nextval('cqrs.numbers');
  insert into cqrs.generations (number, projector, version)
    values (new_number, in_projector, in_version);
  insert into cqrs.partitions (generation, number)
    select new_number, generate_series(0, in_partitions - 1);
  schema_name := cqrs.schema_of(prefix, in_projector, new_number, false);
  execute format('create schema %I', schema_name);
  -- Says whose it is: a schema of somebody else is never renamed or dropped.
  execute format('comment on schema %I is %L', schema_name, 'read model of cqrs.');
  perform set_config('search_path', quote_ident(schema_name) || ', public', true);
  return new_number;
end $$;

create function cqrs.cancel(in_projector text, prefix text)
returns boolean language plpgsql as $$
declare
  dropped bigint;
begin
  perform from cqrs.consumers where name = in_projector for update;
  update cqrs.generations set frozen = false where projector = in_projector and frozen;
  -- Waits for whoever writes to it, and lets nobody begin again.
  perform from cqrs.partitions s join cqrs.generations g on g.number = s.generation
    where g.projector = in_projector and not g.live order by s.number for update of s;
  delete from cqrs.generations where projector = in_projector and not live
    returning number into dropped;
  if dropped is null then
    return false;
  end if;
  execute format('drop schema if exists %I cascade',
                 cqrs.schema_of(prefix, in_projector, dropped, false));
  return true;
end $$;

-- Puts a generation in the place of the live one if that knows no more: 'done', 'behind', 'gone',
-- or 'foreign' when a schema of somebody else's has the name.
create function cqrs.swap(
  in_projector text, in_generation bigint, prefix text, close_by bigint
) returns text language plpgsql as $$
declare
  live_number bigint;
  built bigint;
  furthest bigint;
  live_schema text := prefix || in_projector;
  old_schema text;
begin
  perform from cqrs.consumers where name = in_projector for update;
  perform from cqrs.generations
    where number = in_generation and projector = in_projector and not live;
  if not found then
    return 'gone';
  end if;
  select number into live_number from cqrs.generations where projector = in_projector and live;
  -- Whoever is writing finishes first; nobody writes from here on.
  perform from cqrs.partitions where generation in (in_generation, live_number)
    order by generation, number for update;
  select min(position) into built from cqrs.partitions where generation = in_generation;
  select max(position) into furthest from cqrs.partitions where generation = live_number;
  if furthest > built then
    if furthest - built <= close_by then
      update cqrs.generations set frozen = true where number = live_number;
      -- Its owners are done; nobody gets it any more.
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
    insert into cqrs.retired values (old_schema) on conflict do nothing;
  end if;
  execute format('alter schema %I rename to %I',
                 cqrs.schema_of(prefix, in_projector, in_generation, false), live_schema);
  delete from cqrs.generations where number = live_number;
  update cqrs.generations set live = true, frozen = false where number = in_generation;
  return 'done';
end $$;

-- Drops every schema that is a read model of this store, whatever it is called.
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
