//! States as rows, without events. Those with events are written by the append.

use async_trait::async_trait;
use cqrs_core::{
    StreamName, Version,
    event::Payload,
    store::{Conflict, SaveStateError, State, StateStore, StoreError, StoredState},
};
use sqlx::Row;

use super::PgStore;
use crate::Pg;
use crate::database::arguments::arguments;
use crate::database::connections::FetchError;
use crate::database::error::store_error;

#[async_trait]
impl StateStore for PgStore {
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError> {
        let database = self.database();
        let given = arguments![name.as_str()];
        let rows = database.connections.fetch(&database.sql.load_state, given).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let read = || -> Result<_, sqlx::Error> {
            let payload = Payload::from_stored(row.try_get::<String, _>(2)?);
            let state = State::new(row.try_get::<String, _>(1)?, payload);
            let Pg(version) = row.try_get(0)?;
            Ok(StoredState::new(version, state))
        };
        read().map(Some).map_err(store_error)
    }

    async fn save_state(
        &self,
        name: &StreamName,
        expected: Version,
        state: State,
    ) -> Result<Version, SaveStateError> {
        let database = self.database();
        let sql = match expected {
            Version::ZERO => &database.sql.insert_state,
            _ => &database.sql.update_state,
        };
        let given = arguments![name.as_str(), Pg(expected), &state.tag, state.payload.as_str()];
        match database.connections.fetch_once(sql, given).await {
            Ok(rows) if !rows.is_empty() => Ok(expected.next()),
            Ok(_) => {
                let stored = self.load_state(name).await?;
                let actual = stored.map_or(Version::ZERO, |stored| stored.version);
                Err(Conflict::new(name.clone(), expected.into(), actual).into())
            }
            Err(FetchError::NotExecuted(error)) => Err(error.into()),
            Err(FetchError::Unknown(error)) => Err(SaveStateError::OutcomeUnknown(error)),
        }
    }
}
