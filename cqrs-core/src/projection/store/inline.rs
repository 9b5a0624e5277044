//! Appends that update read models in the same transaction.
//!
//! Invariant: a projector receives the events of an append after all earlier ones. If others
//! appended without it, it catches up in the same transaction first.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::read_store::ReadStore;
use crate::names::ConsumerName;
use crate::projection::error::ProjectError;
use crate::projection::runtime::consumer::Consumer;
use crate::store::{Append, AppendError, Appended, EventStore, LogRead};
use crate::{Position, ReadError, RecordedEvent, StoreError, StoreErrorKind};

/// An event store that can update read models of a read store in the transaction of an append.
#[async_trait]
pub trait AppendProjecting<R: ReadStore>: EventStore {
    /// Appends, and calls [`InlineProjection::project`] in the same transaction.
    ///
    /// # Behavior
    /// - Everything that holds for [`append`](EventStore::append) holds here.
    /// - If no event is stored (an empty or a repeated append), nothing is projected.
    /// - If a projector fails, nothing is stored.
    ///
    /// # Errors
    /// [`AppendError`].
    ///
    /// # Cancel safety
    /// As `append`.
    async fn append_projecting(
        &self,
        read: &R,
        append: Append,
        projection: &InlineProjection<R>,
    ) -> Result<Appended, AppendError>;
}

/// The projectors that an append updates. An [`InlineStore`](crate::projection::InlineStore)
/// passes it to [`AppendProjecting::append_projecting`].
pub struct InlineProjection<R: ReadStore> {
    projectors: Vec<Arc<dyn Consumer<R>>>,
    events: Arc<dyn EventStore>,
}

impl<R: ReadStore> std::fmt::Debug for InlineProjection<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.projectors.iter().map(|projector| projector.name());
        f.debug_list().entries(names).finish()
    }
}

impl<R: ReadStore> InlineProjection<R> {
    pub(in crate::projection) fn new(
        projectors: Vec<Arc<dyn Consumer<R>>>,
        events: Arc<dyn EventStore>,
    ) -> Self {
        Self { projectors, events }
    }

    /// Applies the events of an append, at the positions they will have, before anyone can read
    /// them.
    ///
    /// # Errors
    /// [`AppendError::Projection`] if a projector fails, [`AppendError::Store`] if a store fails.
    /// In both cases the transaction must be rolled back.
    pub async fn project(
        &self,
        read: &R,
        tx: &mut R::Transaction,
        events: &[RecordedEvent],
    ) -> Result<(), AppendError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let before = Position::new(first.position.get().saturating_sub(1));
        for projector in &self.projectors {
            let name = projector.name();
            let Some(checkpoint) = read.enter(tx, name, projector.version()).await? else {
                return Err(AppendError::Projection {
                    projector: name.clone(),
                    source: format!("no read model at version {}", projector.version()).into(),
                });
            };
            if checkpoint < before {
                self.catch_up(read, tx, &**projector, checkpoint, before).await?;
            }
            let projected = projector.project_inline(tx, events).await;
            projected.map_err(|error| failed(read, name, error))?;
            read.advance(tx, name, last.position).await?;
        }
        Ok(())
    }

    /// Applies events that were appended without this projector.
    async fn catch_up(
        &self,
        read: &R,
        tx: &mut R::Transaction,
        projector: &dyn Consumer<R>,
        checkpoint: Position,
        before: Position,
    ) -> Result<(), AppendError> {
        let name = projector.name();
        let unreadable = |error| match error {
            ReadError::Store(error) => AppendError::Store(error),
            other => failed(read, name, other.into()),
        };
        let log = LogRead::forward().filter(projector.filter()).after(checkpoint);
        let mut pages = self.events.read_log(log);
        while let Some(page) = pages.next().await {
            let mut page = page.map_err(unreadable)?;
            page.events.retain(|event| event.position <= before);
            let projected = projector.project_inline(tx, &page.events).await;
            projected.map_err(|error| failed(read, name, error))?;
            if page.through >= before {
                break;
            }
        }
        Ok(())
    }
}

fn failed<R: ReadStore>(read: &R, name: &ConsumerName, error: ProjectError) -> AppendError {
    if read.is_transient(&*error) {
        let kind = StoreErrorKind::Unavailable;
        return StoreError::new(kind, error.to_string()).with_source(error).into();
    }
    AppendError::Projection { projector: name.clone(), source: error }
}
