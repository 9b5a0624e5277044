//! Aggregates whose current state is stored in the same transaction as their events.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Changes, Loaded, Repository, fold};
use crate::{
    Aggregate, AppendError, Appended, EventStore, InvalidAppend, Payload, ReadError, State,
    StateStore, StreamName, Version,
};

/// A [`Repository`] that stores the current state of an aggregate together with its events.
///
/// Loading reads one row, regardless of the number of events. If the row is missing, has another tag
/// or cannot be decoded, the state is computed from the events.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::repository::{Changes, Repository, StateStored};
/// use cqrs_core::{Metadata, StreamName, app::RandomIds, store::StateStore};
/// use cqrs_memory::MemoryStore;
///
/// let store = MemoryStore::new();
/// let accounts = StateStored::<Account>::new(store.clone(), store.clone(), "v1");
/// let stream = StreamName::new("account-alice")?;
/// let mut alice = accounts.load(stream.clone()).await?;
/// let deposited = vec![AccountEvent::Deposited { cents: 500 }];
/// let changes = Changes::new(deposited, Metadata::default(), &RandomIds)?;
/// accounts.save(&mut alice, &changes).await?;
///
/// let row = store.load_state(&stream).await?.expect("written with the events");
/// assert_eq!(row.state.payload.decode::<Account>()?, Account { cents: 500 });
/// # Ok(()) }
/// ```
pub struct StateStored<A: Aggregate> {
    store: Arc<dyn EventStore>,
    states: Arc<dyn StateStore>,
    tag: String,
    aggregate: std::marker::PhantomData<fn() -> A>,
}

impl<A: Aggregate + Clone + Serialize + DeserializeOwned> StateStored<A> {
    /// Creates a repository. `store` and `states` must be the same store. The tag names the shape
    /// of the state and the code that computes it; change it whenever `apply` or the fields of the
    /// state change.
    #[must_use]
    pub fn new(store: impl EventStore, states: impl StateStore, tag: impl Into<String>) -> Self {
        Self {
            store: Arc::new(store),
            states: Arc::new(states),
            tag: tag.into(),
            aggregate: std::marker::PhantomData,
        }
    }

    async fn row(&self, stream: &StreamName) -> Result<Option<(Version, A)>, ReadError> {
        let Some(row) = self.states.load_state(stream).await? else { return Ok(None) };
        if row.state.tag != self.tag {
            tracing::warn!(%stream, tag = row.state.tag, "stored state ignored: different tag");
            return Ok(None);
        }
        match row.state.payload.decode() {
            Ok(state) => Ok(Some((row.version, state))),
            Err(error) => {
                tracing::warn!(%stream, %error, "stored state ignored: cannot be decoded");
                Ok(None)
            }
        }
    }
}

impl<A: Aggregate> std::fmt::Debug for StateStored<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStored").field("category", &A::CATEGORY).finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: Aggregate + Clone + Serialize + DeserializeOwned> Repository<A> for StateStored<A> {
    async fn load(&self, stream: StreamName) -> Result<Loaded<A>, ReadError> {
        match self.row(&stream).await? {
            Some((version, state)) => {
                Ok(Loaded { stream, version, state, snapshot: Version::ZERO })
            }
            None => fold::replay(&*self.store, stream).await,
        }
    }

    async fn refresh(&self, loaded: &mut Loaded<A>) -> Result<(), ReadError> {
        match self.row(&loaded.stream).await? {
            Some((version, state)) if version > loaded.version => {
                (loaded.version, loaded.state) = (version, state);
                Ok(())
            }
            // Another writer may have appended without updating the row.
            _ => {
                if !fold::catch_up(&*self.store, loaded).await? {
                    *loaded = fold::replay(&*self.store, loaded.stream.clone()).await?;
                }
                Ok(())
            }
        }
    }

    async fn save(
        &self,
        loaded: &mut Loaded<A>,
        changes: &Changes<A::Event>,
    ) -> Result<Appended, AppendError> {
        let mut append = changes.append_to(loaded);
        let mut next = loaded.state.clone();
        changes.events.iter().for_each(|event| next.apply(event));
        if !changes.events.is_empty() {
            let payload = Payload::encode(&next).map_err(InvalidAppend::Payload)?;
            if let Some(own) = append.streams.first_mut() {
                own.state = Some(State::new(self.tag.clone(), payload));
            }
        }
        let appended = self.store.append(append).await?;
        if !appended.repeated {
            (loaded.version, loaded.state) = (appended.version(), next);
        }
        Ok(appended)
    }
}
