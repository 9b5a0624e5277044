//! The store that the cases run against, with its type erased.
//!
//! The cases are not generic, so they are compiled once, in this crate, and not again for every
//! store and every test.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use cqrs_core::{
    EventStore,
    store::{SnapshotStore, StateStore},
    subscription::CheckpointStore,
};

/// What the suite requires of a store. It is implemented for every type that has these traits.
pub trait Store: EventStore + SnapshotStore + StateStore + CheckpointStore + Clone {}

impl<S: EventStore + SnapshotStore + StateStore + CheckpointStore + Clone> Store for S {}

/// A [`Store`] as an object.
pub(super) trait Erased: EventStore + SnapshotStore + StateStore + CheckpointStore {
    fn duplicate(&self) -> Arc<dyn Erased>;
}

impl<S: Store> Erased for S {
    fn duplicate(&self) -> Arc<dyn Erased> {
        Arc::new(self.clone())
    }
}

/// Any store. Cloning it clones the store inside.
#[derive(Debug)]
pub(super) struct TestStore(Arc<dyn Erased>);

impl TestStore {
    fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }

    /// Returns a clone of the store as a checkpoint store.
    pub(super) fn checkpoints(&self) -> impl CheckpointStore + use<> {
        self.0.duplicate()
    }
}

impl Clone for TestStore {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl Deref for TestStore {
    type Target = Arc<dyn Erased>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

type Making<'a> = Pin<Box<dyn Future<Output = TestStore> + 'a>>;

/// Creates an empty store at each call.
pub(super) type Fresh<'a> = dyn Fn() -> Making<'a> + 'a;

/// Erases the type of the stores that a function creates.
pub(super) fn erase<'a, S: Store>(fresh: &'a impl AsyncFn() -> S) -> Box<Fresh<'a>> {
    Box::new(move || Box::pin(async move { TestStore::new(fresh().await) }))
}
