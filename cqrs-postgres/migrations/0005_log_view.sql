-- The log for people and reports. `data` and `metadata` are json; cast them to jsonb to search them.
create view cqrs.log as
select e.position, s.name as stream, s.category, e.version, t.name as type, e.schema_version,
       e.event_id, e.recorded_at, e.correlation_id, e.data, e.metadata
  from cqrs.events e
  join cqrs.streams s on s.id = e.stream_id
  join cqrs.event_types t on t.id = e.type_id;
