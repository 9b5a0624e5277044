//! States as rows: for aggregates that are loaded from their state instead of their events, and
//! for state that has no events at all.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Conflict, Payload, StoreError, StreamName, Version};

/// A state to keep.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// Names the shape of the state, so that code of another shape does not misread it.
    pub tag: String,
    /// The state.
    pub payload: Payload,
}

impl State {
    /// From its parts.
    #[must_use]
    pub fn new(tag: impl Into<String>, payload: Payload) -> Self {
        Self { tag: tag.into(), payload }
    }
}

/// A state that is kept, and the version it has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredState {
    /// Counts its changes from 1. Of a state written with events: the version of its stream.
    pub version: Version,
    /// The state.
    pub state: State,
}

impl StoredState {
    /// From its parts.
    #[must_use]
    pub const fn new(version: Version, state: State) -> Self {
        Self { version, state }
    }
}

/// Why a state was not kept, or may have been. Nothing was changed, except where it says
/// `OutcomeUnknown`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveStateError {
    /// Somebody else changed it first. Load it and decide again.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The answer was lost: load the state to learn whether it was kept.
    #[error("whether the state was kept is unknown")]
    OutcomeUnknown(#[source] StoreError),
    /// The store failed.
    #[error("the store did not keep the state")]
    Store(#[from] StoreError),
}

/// Keeps one state under each name.
///
/// States written together with events go through
/// [`EventStore::append`](crate::EventStore::append); this port reads them, and writes states
/// that have no events. Do not mix the two ways under one name.
#[async_trait]
pub trait StateStore: std::fmt::Debug + Send + Sync + 'static {
    /// The state under a name, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError>;

    /// Keeps a state if the one that is there has the expected version, [`Version::ZERO`] for
    /// none. Returns its new version, one higher.
    ///
    /// # Errors
    /// [`SaveStateError`]: a conflict when it has another version.
    async fn save_state(
        &self,
        name: &StreamName,
        expected: Version,
        state: State,
    ) -> Result<Version, SaveStateError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: StateStore + ?Sized> StateStore for Arc<S> {
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError> {
        (**self).load_state(name).await
    }
    async fn save_state(
        &self,
        name: &StreamName,
        expected: Version,
        state: State,
    ) -> Result<Version, SaveStateError> {
        (**self).save_state(name, expected, state).await
    }
}
