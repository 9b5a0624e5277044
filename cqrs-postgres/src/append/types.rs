//! The numbers of event types.

use std::collections::BTreeSet;

use cqrs_core::store::{Append, StoreError, StoreErrorKind};
use sqlx::Row;

use crate::connections::arguments;
use crate::error::store_error;
use crate::store::Shared;

/// In a transaction of its own: a type that is rolled back with an append would leave its number
/// behind in the memory of the process.
pub(crate) const LEARN: &str = "
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

/// How often to ask again when others add the same types at the same time.
const ATTEMPTS: usize = 5;

/// The number of each event's type, and the epoch they are good for. Costs nothing for types seen
/// before.
pub(crate) async fn ids(append: &Append, shared: &Shared) -> Result<(Vec<i32>, u64), StoreError> {
    for _ in 0..ATTEMPTS {
        let unknown: BTreeSet<_> = {
            let known = shared.names.known();
            if let Some(ids) = append.events().map(|event| known.type_id(&event.name)).collect() {
                return Ok((ids, known.learnt_in()));
            }
            append.events().map(|e| &e.name).filter(|name| known.type_id(name).is_none()).collect()
        };
        let given: Vec<&str> = unknown.iter().map(|name| name.as_str()).collect();
        let rows = shared.connections.fetch(&shared.sql.learn_types, arguments![given]).await?;
        let mut known = shared.names.known();
        for row in rows {
            let id = row.try_get::<i32, _>(0).map_err(store_error)?;
            let name = row.try_get::<&str, _>(1).map_err(store_error)?;
            if let Some(name) = unknown.iter().find(|known| known.as_str() == name) {
                known.learn_type(id, name);
            }
        }
    }
    Err(StoreError::new(StoreErrorKind::Unavailable, "the event types were not agreed upon"))
}
