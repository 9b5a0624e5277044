//! States as rows, without events. Those with events are written by the append.

use async_trait::async_trait;
use cqrs_core::{
    StreamName, Version,
    event::Payload,
    store::{Conflict, SaveStateError, State, StateStore, StoreError, StoredState},
};
use sqlx::Row;

use crate::PgStore;
use crate::connections::{Failure, arguments};
use crate::error::store_error;
use crate::numbers::{signed, unsigned};

pub(crate) const LOAD: &str = "select version, tag, payload::text from cqrs.states where name = $1";

/// One row if it was kept. Of two at once the second waits for the first and then finds the row
/// taken. A state written with a stream's other events may stand at version 0.
pub(crate) const INSERT: &str = "
insert into cqrs.states as kept (name, version, tag, payload)
values ($1, 1, $3, $4::text::json)
on conflict (name) do update
  set version = excluded.version, tag = excluded.tag, payload = excluded.payload
  where kept.version = $2
returning kept.version";

pub(crate) const UPDATE: &str = "
update cqrs.states set version = version + 1, tag = $3, payload = $4::text::json
 where name = $1 and version = $2
returning version";

#[async_trait]
impl StateStore for PgStore {
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError> {
        let shared = &self.shared;
        let given = arguments![name.as_str()];
        let rows = shared.connections.fetch(&shared.sql.load_state, given).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let read = || -> Result<_, sqlx::Error> {
            let payload = Payload::from_stored(row.try_get::<String, _>(2)?);
            let state = State::new(row.try_get::<String, _>(1)?, payload);
            Ok(StoredState::new(Version::new(unsigned(row.try_get(0)?)), state))
        };
        read().map(Some).map_err(store_error)
    }

    async fn save_state(
        &self,
        name: &StreamName,
        expected: Version,
        state: State,
    ) -> Result<Version, SaveStateError> {
        let shared = &self.shared;
        let sql = match expected {
            Version::ZERO => &shared.sql.insert_state,
            _ => &shared.sql.update_state,
        };
        let version = signed(expected.get());
        let given = arguments![name.as_str(), version, &state.tag, state.payload.as_str()];
        match shared.connections.fetch_once(sql, given).await {
            Ok(rows) if !rows.is_empty() => Ok(expected.next()),
            Ok(_) => {
                let stored = self.load_state(name).await?;
                let actual = stored.map_or(Version::ZERO, |stored| stored.version);
                Err(Conflict::new(name.clone(), expected.into(), actual).into())
            }
            Err(Failure::NotExecuted(error)) => Err(error.into()),
            Err(Failure::Unknown(error)) => Err(SaveStateError::OutcomeUnknown(error)),
        }
    }
}
