//! Aggregates whose state is a row, written in one unit with their events.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Changes, Loaded, Repository, fold};
use crate::{
    Aggregate, AppendError, Appended, EventStore, InvalidAppend, Payload, ReadError, State,
    StateStore, StreamName, Version,
};

/// Keeps an aggregate as its newest state beside its events.
///
/// Loading costs one row however long the history is. The events are stored all the same, for
/// read models and for the history; a row that is missing or of another shape is made again from
/// them.
pub struct StateStored<A: Aggregate> {
    store: Arc<dyn EventStore>,
    states: Arc<dyn StateStore>,
    tag: String,
    aggregate: std::marker::PhantomData<fn() -> A>,
}

impl<A: Aggregate + Clone + Serialize + DeserializeOwned> StateStored<A> {
    /// Over a store of events and the same store's states. The tag names the state's shape and
    /// rules; change it whenever `apply` or the state's fields change.
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
            tracing::warn!(%stream, tag = row.state.tag, "a state with another tag is made anew");
            return Ok(None);
        }
        match row.state.payload.decode() {
            Ok(state) => Ok(Some((row.version, state))),
            Err(error) => {
                tracing::warn!(%stream, %error, "a state that cannot be read is made anew");
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
            // Somebody appended without the row: what it lacks stands in the events.
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
