//! Stores with a clock or a hook of their own.

use cqrs_core::{
    app::{Clock, SystemClock},
    store::StoreError,
};

use crate::step::Hooks;
use crate::{MemoryStore, Step};

/// Makes a [`MemoryStore`] that is not the usual one.
///
/// ```
/// use cqrs_core::store::{StoreError, StoreErrorKind};
/// use cqrs_memory::{MemoryStore, Step};
///
/// let store = MemoryStore::builder()
///     .on_step(|step| match step {
///         Step::AfterAppend => Err(StoreError::new(StoreErrorKind::Unavailable, "cable cut")),
///         _ => Ok(()),
///     })
///     .build();
/// # let _ = store;
/// ```
#[derive(Debug)]
#[must_use]
pub struct MemoryStoreBuilder {
    clock: Box<dyn Clock>,
    hooks: Hooks,
}

impl Default for MemoryStoreBuilder {
    fn default() -> Self {
        Self { clock: Box::new(SystemClock), hooks: Hooks::default() }
    }
}

impl MemoryStoreBuilder {
    /// Takes the time of storing from this clock instead of the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Calls this at every [`Step`], on the task that uses the store and never under its lock, so
    /// it may itself read from and write to the store. A later hook replaces an earlier one.
    pub fn on_step(
        mut self,
        hook: impl Fn(Step) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks = Hooks(Some(Box::new(hook)));
        self
    }

    /// An empty store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        MemoryStore::from_parts(self.clock, self.hooks)
    }
}
