//! Stored states: for aggregates that are loaded from their state instead of their events, and for
//! states without events.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Conflict, Payload, StoreError, StreamName, Version};

/// A state to store.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// A name for the shape of the state, so that code that expects another shape ignores it.
    pub tag: String,
    /// The state, as JSON.
    pub payload: Payload,
}

impl State {
    /// Creates a state from its parts.
    #[must_use]
    pub fn new(tag: impl Into<String>, payload: Payload) -> Self {
        Self { tag: tag.into(), payload }
    }
}

/// A stored state and its version.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredState {
    /// The version of the stream if the state is stored with events, otherwise how many times the
    /// state was saved.
    pub version: Version,
    /// The state.
    pub state: State,
}

impl StoredState {
    /// Creates a stored state from its parts.
    #[must_use]
    pub const fn new(version: Version, state: State) -> Self {
        Self { version, state }
    }
}

/// Why a state was not stored. Nothing was changed, except possibly after
/// [`OutcomeUnknown`](Self::OutcomeUnknown).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveStateError {
    /// Another writer changed the state first. Load it and decide again.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The connection was lost before the store answered. Load the state to find out whether it was
    /// stored.
    #[error("it is unknown whether the state was stored")]
    OutcomeUnknown(#[source] StoreError),
    /// The store failed.
    #[error("saving the state failed")]
    Store(#[from] StoreError),
}

/// Stores one state per name.
///
/// States that belong to events are written by [`EventStore::append`](crate::EventStore::append).
/// This trait reads them, and writes states without events. Do not use both under one name.
/// Implementations are annotated with [`#[async_trait]`](crate::store::async_trait).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::store::{SaveStateError, State, StateStore};
/// use cqrs_core::{StreamName, Version, event::Payload};
///
/// let store = cqrs_memory::MemoryStore::new();
/// let name = StreamName::new("settings")?;
/// let dark = State::new("v1", Payload::encode("dark")?);
/// assert_eq!(store.save_state(&name, Version::ZERO, dark.clone()).await?, Version::new(1));
///
/// // Another writer that has not seen it:
/// let conflict = store.save_state(&name, Version::ZERO, dark).await;
/// assert!(matches!(conflict, Err(SaveStateError::Conflict(_))));
/// # Ok(()) }
/// ```
#[async_trait]
pub trait StateStore: std::fmt::Debug + Send + Sync + 'static {
    /// Returns the state stored under a name, or `None` if there is none.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store fails.
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError>;

    /// Stores a state if the stored one has the expected version. Pass [`Version::ZERO`] if no
    /// state is stored yet. Returns the new version, which is one higher.
    ///
    /// # Errors
    /// Returns a [`SaveStateError`]; [`Conflict`](SaveStateError::Conflict) if the stored state has
    /// another version.
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
