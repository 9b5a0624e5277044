//! Names of streams and event types, and their ids in the database.
//!
//! An id never changes, so what is cached is valid until the epoch ends. The cache of streams is
//! bounded because there may be millions of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cqrs_core::{StreamName, event::EventName, store::StoreError};
use hashlink::LruCache;

use super::epoch::Epoch;
use super::error::corrupt;

/// Number of streams cached in each direction.
const STREAMS: usize = 100_000;

pub(crate) struct Names {
    epoch: Epoch,
    cache: Mutex<Cache>,
}

pub(crate) struct Cache {
    epoch: u64,
    stream_ids: LruCache<StreamName, i64>,
    streams: LruCache<i64, StreamName>,
    // A program has a few hundred types at most.
    type_ids: HashMap<EventName, i32>,
    types: HashMap<i32, EventName>,
}

impl Names {
    pub(crate) fn new(epoch: Epoch) -> Self {
        let cache = Mutex::new(Cache {
            epoch: epoch.now(),
            stream_ids: LruCache::new(STREAMS),
            streams: LruCache::new(STREAMS),
            type_ids: HashMap::new(),
            types: HashMap::new(),
        });
        Self { epoch, cache }
    }

    /// The cache of the present epoch. Held for look-ups only, never across an await.
    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        // Nothing panics while it is locked.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.epoch.now();
        if cache.epoch != now {
            cache.stream_ids.clear();
            cache.streams.clear();
            cache.type_ids.clear();
            cache.types.clear();
            cache.epoch = now;
        }
        cache
    }
}

impl Cache {
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn stream_id(&mut self, stream: &StreamName) -> Option<i64> {
        self.stream_ids.get(stream).copied()
    }

    pub(crate) fn add_stream_id(&mut self, stream: &StreamName, id: i64) {
        // Most are cached already, and a look-up is cheaper than replacing the entry.
        if self.stream_ids.get(stream).is_none() {
            self.stream_ids.insert(stream.clone(), id);
        }
    }

    pub(crate) fn stream(&mut self, id: i64) -> Option<StreamName> {
        self.streams.get(&id).cloned()
    }

    pub(crate) fn add_stream(&mut self, id: i64, stream: &StreamName) {
        self.streams.insert(id, stream.clone());
    }

    pub(crate) fn type_id(&self, name: &EventName) -> Option<i32> {
        self.type_ids.get(name).copied()
    }

    pub(crate) fn event_type(&self, id: i32) -> Option<EventName> {
        self.types.get(&id).cloned()
    }

    pub(crate) fn add_type(&mut self, id: i32, name: &EventName) {
        self.type_ids.insert(name.clone(), id);
        self.types.insert(id, name.clone());
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

/// A stream name as read from the database.
pub(crate) fn stream_name(name: &str) -> Result<StreamName, StoreError> {
    StreamName::new(name).map_err(|error| {
        corrupt(format!("the database contains the invalid stream name `{name}`"))
            .with_source(error)
    })
}
