//! The ids of event types.

use std::collections::BTreeSet;

use cqrs_core::store::{Append, StoreError, StoreErrorKind};
use sqlx::Row;

use crate::database::Database;
use crate::database::arguments::arguments;
use crate::database::error::store_error;

/// How often to look again when other processes add the same types at the same time.
const ATTEMPTS: usize = 5;

/// The id of each event's type, and the epoch in which they are valid. Types that are cached cost
/// nothing.
pub(super) async fn ids(
    append: &Append,
    database: &Database,
) -> Result<(Vec<i32>, u64), StoreError> {
    for _ in 0..ATTEMPTS {
        let unknown: BTreeSet<_> = {
            let cache = database.names.cache();
            if let Some(ids) = append.events().map(|event| cache.type_id(&event.name)).collect() {
                return Ok((ids, cache.epoch()));
            }
            append.events().map(|e| &e.name).filter(|name| cache.type_id(name).is_none()).collect()
        };
        let given: Vec<&str> = unknown.iter().map(|name| name.as_str()).collect();
        let given = arguments![given];
        // The caller may hold the only connection of a shared pool, in a transaction.
        let connections = &database.connections;
        let rows = connections.fetch_without_waiting(&database.sql.add_types, given).await?;
        let mut cache = database.names.cache();
        for row in rows {
            let id = row.try_get::<i32, _>(0).map_err(store_error)?;
            let name = row.try_get::<&str, _>(1).map_err(store_error)?;
            if let Some(name) = unknown.iter().find(|unknown| unknown.as_str() == name) {
                cache.add_type(id, name);
            }
        }
    }
    let message = format!("the event types could not be registered in {ATTEMPTS} attempts");
    Err(StoreError::new(StoreErrorKind::Unavailable, message))
}
