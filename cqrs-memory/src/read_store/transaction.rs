//! A transaction: copies of models, and what else is to happen when it commits.

use std::sync::Arc;

use cqrs_core::projection::{ParkedEvent, Partition};
use cqrs_core::{Position, projection::ConsumerName};
use tokio::sync::OwnedMutexGuard;

use super::models::Models;

/// What a projector writes through: its models, copied when they are first changed.
///
/// A copy costs what `Clone` costs. For a model of more than a few hundred rows use maps that share
/// what they have in common with their copies, such as those of `rpds` or `imbl`.
pub struct MemoryTransaction {
    /// One for each projector that was entered.
    pub(super) changes: Vec<GenerationChange>,
}

/// What a transaction does to one generation.
pub(super) struct GenerationChange {
    pub(super) projector: ConsumerName,
    pub(super) generation: u64,
    pub(super) condition: Condition,
    pub(super) models: Models,
    pub(super) through: Position,
    pub(super) parks: Vec<ParkedEvent>,
    pub(super) unparks: Vec<Position>,
    /// Keeps others from changing the generation until the transaction ends.
    pub(super) _write_lock: Option<OwnedMutexGuard<()>>,
}

/// On which ground it may commit.
pub(super) enum Condition {
    /// Under a lease.
    Leased { partition: Partition, epoch: u64 },
    /// Begins a generation.
    New { version: u32, partitions: u32, after: Position },
    /// Inside an append.
    Inline,
}

/// The projector's model is not there: `create` has not put one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`create` has put no {model}")]
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
    /// Puts an empty model, in [`create`](cqrs_core::Projector::create).
    pub fn put<M: Clone + Send + Sync + 'static>(&mut self, model: M) {
        if let Some(change) = self.changes.last_mut() {
            change.models.put(model);
        }
    }

    /// The projector's model, to be changed.
    ///
    /// # Errors
    /// [`MissingModel`] when none of this type was put.
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
