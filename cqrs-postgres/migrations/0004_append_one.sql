-- The shortest append: one event to one stream, perhaps with a command. Does what `append` does for a
-- batch, without arrays, so that a single append is fast.
create function cqrs.append_one(
  part_stream bigint,          -- null if the caller does not know it
  part_name text,
  part_expected bigint,        -- as in append
  event_id uuid,
  event_type integer,
  event_schema integer,
  event_time timestamptz,      -- null: the present time
  event_correlation uuid,
  event_data text,
  event_metadata text,
  command_id uuid,             -- null: none
  command_fingerprint uuid,
  now timestamptz,             -- null: the server's time
  out accepted boolean,
  out known boolean,           -- rejected, and a part of it is already stored
  out part_version bigint,     -- the version of the stream before
  out stream bigint,
  out head bigint,             -- the head before
  out stored_at timestamptz
)
language plpgsql as $$
#variable_conflict use_variable
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'appends need the isolation level READ COMMITTED' using errcode = 'CQ001';
  end if;

  -- Nothing of the log is read before this line; see append.
  perform pg_advisory_xact_lock(hashtextextended('cqrs.append', 0));
  stored_at := coalesce(now, clock_timestamp());
  stream := part_stream;
  if stream is null then
    select s.id into stream from cqrs.streams s where s.name = part_name;
  end if;
  select coalesce((select max(e.position) from cqrs.events e), 0),
         coalesce((select e.version from cqrs.events e
                    where e.stream_id = stream and e.version >= part_expected
                    order by e.version desc limit 1), 0)
    into head, part_version;

  accepted := part_expected = -1 or part_expected = part_version
    or (part_expected = -2 and part_version > 0);
  known := false;
  if not accepted then
    if part_version = 0 then
      select coalesce(max(e.version), 0) into part_version
        from cqrs.events e where e.stream_id = stream;
    end if;
    known := exists (select from cqrs.events e where e.event_id = append_one.event_id)
      or exists (select from cqrs.commands c where c.id = command_id);
    return;
  end if;

  if stream is null then
    insert into cqrs.streams (name) values (part_name) returning id into stream;
  end if;
  insert into cqrs.events (position, stream_id, version, type_id, schema_version, event_id,
                           recorded_at, stored_at, correlation_id, data, metadata)
  values (head + 1, stream, part_version + 1, event_type, event_schema, event_id,
          coalesce(event_time, stored_at), case when event_time is not null then stored_at end,
          event_correlation, event_data::json, event_metadata::json);
  if command_id is not null then
    insert into cqrs.commands
      (id, fingerprint, recorded_at, streams, versions, event_counts, positions)
    values (command_id, command_fingerprint, stored_at,
            array[part_name], array[part_version + 1], array[1], array[head + 1]);
  end if;
  perform pg_notify('cqrs.head', (head + 1)::text);
end $$;
