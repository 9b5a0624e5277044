//! `StateStore` for [`MemoryStore`]: states without events. An append stores those with events.

use async_trait::async_trait;
use cqrs_core::{
    StreamName, Version,
    store::{Conflict, SaveStateError, State, StateStore, StoreError, StoredState},
};

use crate::{MemoryStore, Step};

#[async_trait]
impl StateStore for MemoryStore {
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError> {
        self.hooks().at(Step::BeforeRead)?;
        Ok(self.contents().states.get(name).cloned())
    }

    async fn save_state(
        &self,
        name: &StreamName,
        expected: Version,
        state: State,
    ) -> Result<Version, SaveStateError> {
        self.hooks().at(Step::BeforeSaveState)?;
        let version = expected.next();
        let state = StoredState::new(version, state);
        // Dropped without the lock: see the invariant of `Shared`.
        let mut contents = self.contents_mut();
        let actual = contents.states.get(name).map_or(Version::ZERO, |stored| stored.version);
        if actual != expected {
            return Err(Conflict::new(name.clone(), expected.into(), actual).into());
        }
        let replaced = contents.states.insert(name.clone(), state);
        drop(contents);
        drop(replaced);
        self.hooks().at(Step::AfterSaveState).map_err(SaveStateError::OutcomeUnknown)?;
        Ok(version)
    }
}
