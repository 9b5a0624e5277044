//! Read models as values: readers share the published ones, and a transaction changes a copy.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

/// The models of one generation, by type.
#[derive(Clone, Default)]
pub(super) struct Models(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Models {
    pub(super) fn put<M: Send + Sync + 'static>(&mut self, model: M) {
        self.0.insert(TypeId::of::<M>(), Arc::new(model));
    }

    pub(super) fn get<M: Send + Sync + 'static>(&self) -> Option<Arc<M>> {
        Arc::clone(self.0.get(&TypeId::of::<M>())?).downcast().ok()
    }

    /// Returns a model to change, which is cloned first if readers share it.
    pub(super) fn get_mut<M: Clone + Send + Sync + 'static>(&mut self) -> Option<&mut M> {
        let shared = self.0.get_mut(&TypeId::of::<M>())?;
        if Arc::get_mut(shared).is_none() {
            let copy = shared.downcast_ref::<M>()?.clone();
            *shared = Arc::new(copy);
        }
        Arc::get_mut(shared)?.downcast_mut()
    }
}

/// The models of one projector that readers can see.
#[derive(Default)]
pub(super) struct Published(RwLock<Option<Arc<Models>>>);

impl Published {
    /// Replaces the models and returns the previous ones.
    pub(super) fn replace(&self, models: Option<Arc<Models>>) -> Option<Arc<Models>> {
        // Only pointers are moved under the lock, so nothing can panic.
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), models)
    }

    fn get(&self) -> Option<Arc<Models>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A view of one model of a projector, for queries.
///
/// Returned by [`MemoryReadStore::view`](crate::MemoryReadStore::view). Cloning is cheap.
///
/// ```
/// use cqrs_memory::{MemoryReadStore, MemoryView};
///
/// #[derive(Clone, Default)]
/// struct Popular(std::collections::HashMap<String, u32>);
///
/// let read = MemoryReadStore::new();
/// let popular: MemoryView<Popular> = read.view("popular")?;
/// // No projector has built it yet.
/// assert!(popular.get().is_none());
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
pub struct MemoryView<M> {
    published: Arc<Published>,
    model: PhantomData<fn() -> M>,
}

impl<M> Clone for MemoryView<M> {
    fn clone(&self) -> Self {
        Self { published: Arc::clone(&self.published), model: PhantomData }
    }
}

impl<M> std::fmt::Debug for MemoryView<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryView").field("model", &std::any::type_name::<M>()).finish()
    }
}

impl<M: Send + Sync + 'static> MemoryView<M> {
    pub(super) fn new(published: Arc<Published>) -> Self {
        Self { published, model: PhantomData }
    }

    /// Returns the model as of the last commit, or `None` until it is first built.
    ///
    /// The returned model does not change. Holding it blocks neither projectors nor other readers.
    #[must_use]
    pub fn get(&self) -> Option<Arc<M>> {
        self.published.get()?.get()
    }
}
