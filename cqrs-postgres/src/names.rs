//! Names and the numbers the database keeps in place of them. A number never changes, so what is
//! remembered here is not wrong before the epoch ends; it is bounded because there may be
//! millions of streams.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cqrs_core::{StreamName, event::EventName, store::StoreError};
use hashlink::LruCache;

use crate::epoch::Epoch;
use crate::error::corrupt;

/// How many streams are remembered, in either direction.
const STREAMS: usize = 100_000;

pub(crate) struct Names {
    epoch: Epoch,
    known: Mutex<Known>,
}

pub(crate) struct Known {
    learnt_in: u64,
    stream_ids: LruCache<StreamName, i64>,
    streams: LruCache<i64, StreamName>,
    // A program has some hundreds.
    type_ids: HashMap<EventName, i32>,
    types: HashMap<i32, EventName>,
}

impl Names {
    pub(crate) fn new(epoch: Epoch) -> Self {
        let known = Mutex::new(Known {
            learnt_in: epoch.now(),
            stream_ids: LruCache::new(STREAMS),
            streams: LruCache::new(STREAMS),
            type_ids: HashMap::new(),
            types: HashMap::new(),
        });
        Self { epoch, known }
    }

    /// What is known now. Held for look-ups only, never over a wait.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics under it.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.epoch.now();
        if known.learnt_in != now {
            known.stream_ids.clear();
            known.streams.clear();
            known.type_ids.clear();
            known.types.clear();
            known.learnt_in = now;
        }
        known
    }
}

impl Known {
    pub(crate) const fn learnt_in(&self) -> u64 {
        self.learnt_in
    }

    pub(crate) fn stream_id(&mut self, stream: &StreamName) -> Option<i64> {
        self.stream_ids.get(stream).copied()
    }

    pub(crate) fn learn_stream_id(&mut self, stream: &StreamName, id: i64) {
        // Most are known already: a look-up is cheaper than replacing the entry.
        if self.stream_ids.get(stream).is_none() {
            self.stream_ids.insert(stream.clone(), id);
        }
    }

    pub(crate) fn stream(&mut self, id: i64) -> Option<StreamName> {
        self.streams.get(&id).cloned()
    }

    pub(crate) fn learn_stream(&mut self, id: i64, stream: &StreamName) {
        self.streams.insert(id, stream.clone());
    }

    pub(crate) fn type_id(&self, name: &EventName) -> Option<i32> {
        self.type_ids.get(name).copied()
    }

    pub(crate) fn event_type(&self, id: i32) -> Option<EventName> {
        self.types.get(&id).cloned()
    }

    pub(crate) fn learn_type(&mut self, id: i32, name: &EventName) {
        self.type_ids.insert(name.clone(), id);
        self.types.insert(id, name.clone());
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

/// A name as the database keeps it.
pub(crate) fn stream_name(name: &str) -> Result<StreamName, StoreError> {
    StreamName::new(name)
        .map_err(|error| corrupt("the database holds an impossible stream name").with_source(error))
}
