//! A transaction: copies of models, and the changes to make when it commits.

use std::sync::Arc;

use cqrs_core::projection::store::{ParkedEvent, Partition};
use cqrs_core::{Position, projection::ConsumerName};
use tokio::sync::OwnedMutexGuard;

use super::models::Models;

/// A transaction of a [`MemoryReadStore`](crate::MemoryReadStore), through which a projector changes its
/// models.
///
/// A model is cloned when a transaction first changes it. For models of more than a few hundred rows,
/// use maps that share their contents with their clones, such as those of `rpds` or `imbl`.
///
/// ```
/// use cqrs_memory::{MemoryTransaction, MissingModel};
///
/// #[derive(Clone, Default)]
/// struct Sizes(rpds::HashTrieMapSync<String, u32>);
///
/// // Called by `create` of a projector.
/// fn create(tx: &mut MemoryTransaction) {
///     tx.put(Sizes::default());
/// }
///
/// // Called by `project`.
/// fn add(tx: &mut MemoryTransaction, cart: &str) -> Result<u32, MissingModel> {
///     let sizes = tx.model::<Sizes>()?;
///     let size = sizes.0.get(cart).map_or(1, |size| size + 1);
///     sizes.0.insert_mut(cart.to_owned(), size);
///     Ok(size)
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cqrs_core::{Position, projection::{ConsumerName, ReadStore}};
/// # let (read, name) = (cqrs_memory::MemoryReadStore::new(), ConsumerName::new("sizes")?);
/// # let mut tx = read.new_generation(&name, 1, 1, Position::START).await?.unwrap().tx;
///
/// assert!(add(&mut tx, "cart-1").is_err());
/// create(&mut tx);
/// assert_eq!(add(&mut tx, "cart-1")?, 1);
/// assert_eq!(add(&mut tx, "cart-1")?, 2);
/// # Ok(()) }
/// ```
pub struct MemoryTransaction {
    /// The changes of each generation that takes part.
    pub(super) changes: Vec<GenerationChange>,
}

/// The changes that a transaction makes to one generation.
pub(super) struct GenerationChange {
    pub(super) projector: ConsumerName,
    pub(super) generation: u64,
    pub(super) condition: Condition,
    pub(super) models: Models,
    pub(super) through: Position,
    pub(super) parks: Vec<ParkedEvent>,
    pub(super) unparks: Vec<Position>,
    /// Keeps other transactions from changing the generation until this one ends.
    pub(super) _write_lock: Option<OwnedMutexGuard<()>>,
}

/// The condition for a commit.
pub(super) enum Condition {
    /// The lease on the partition is still valid.
    Leased { partition: Partition, epoch: u64 },
    /// No other node has begun a generation like it.
    New { version: u32, partitions: u32, after: Position },
    /// The generation is still live; the transaction belongs to an append.
    Inline,
}

/// The error of accessing a model of a type that the projector has not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no model `{model}`: call `put` in the projector's `create`")]
pub struct MissingModel {
    model: &'static str,
}

impl std::fmt::Debug for MemoryTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.changes.iter().map(|change| change.projector.as_str());
        f.debug_tuple("MemoryTransaction").field(&names.collect::<Vec<_>>()).finish()
    }
}

impl MemoryTransaction {
    /// Adds a model. Call it in the projector's [`create`](cqrs_core::Projector::create), once for each type
    /// of model.
    pub fn put<M: Clone + Send + Sync + 'static>(&mut self, model: M) {
        if let Some(change) = self.changes.last_mut() {
            change.models.put(model);
        }
    }

    /// Returns a model of the projector, to change it.
    ///
    /// # Errors
    /// Returns [`MissingModel`] if [`put`](Self::put) added no model of this type.
    pub fn model<M: Clone + Send + Sync + 'static>(&mut self) -> Result<&mut M, MissingModel> {
        let change = self.changes.last_mut();
        change
            .and_then(|change| change.models.get_mut())
            .ok_or(MissingModel { model: std::any::type_name::<M>() })
    }

    pub(super) const fn empty() -> Self {
        Self { changes: Vec::new() }
    }

    pub(super) fn one(change: GenerationChange) -> Self {
        Self { changes: vec![change] }
    }
}

impl GenerationChange {
    pub(super) fn new(
        projector: ConsumerName,
        generation: u64,
        condition: Condition,
        models: &Arc<Models>,
        write_lock: Option<OwnedMutexGuard<()>>,
    ) -> Self {
        Self {
            projector,
            generation,
            condition,
            models: Models::clone(models),
            through: Position::START,
            parks: Vec::new(),
            unparks: Vec::new(),
            _write_lock: write_lock,
        }
    }
}
