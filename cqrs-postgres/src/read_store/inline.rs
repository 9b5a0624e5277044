//! Appends with inline projections, in one transaction of the database.

use async_trait::async_trait;
use cqrs_core::projection::store::{AppendProjecting, InlineProjection};
use cqrs_core::{
    EventStore,
    event::{RawEvent, RecordedEvent},
    store::{Append, AppendError, Appended, AppendedStream, StoreError, StoreErrorKind},
};

use super::store::PgReadStore;
use crate::PgStore;
use crate::database::error::{is_rolled_back, store_error};

/// The read store has to be in the database of the event store. The lock of the log is held while
/// the projectors run, so every other append waits for them.
#[async_trait]
impl AppendProjecting<PgReadStore> for PgStore {
    async fn append_projecting(
        &self,
        read: &PgReadStore,
        append: Append,
        projection: &InlineProjection<PgReadStore>,
    ) -> Result<Appended, AppendError> {
        if append.event_count() == 0 {
            return self.append(append).await;
        }
        // Before the transaction, which may hold the only connection of a shared pool.
        let prepared = self.prepare(append).await?;
        let mut tx = read.database.begin().await?;
        let appended = self.append_prepared(&mut tx, &prepared).await?;
        if !appended.repeated {
            let events = recorded(prepared.append, &appended)?;
            projection.project(read, &mut tx, &events).await?;
        }
        match tx.commit().await {
            Ok(()) => Ok(appended),
            Err(error) if is_rolled_back(&error) => Err(store_error(error).into()),
            Err(error) => Err(AppendError::OutcomeUnknown(store_error(error))),
        }
    }
}

/// The events of an append as they were recorded.
fn recorded(append: Append, appended: &Appended) -> Result<Vec<RecordedEvent>, StoreError> {
    let mut events = Vec::with_capacity(append.event_count());
    for (part, stored) in append.streams.into_iter().zip(&appended.streams) {
        let first = stored.first_version().zip(AppendedStream::first_position(stored));
        let Some((version, position)) = first else {
            if part.events.is_empty() {
                continue;
            }
            let message = format!("the append to `{}` returned no positions", part.stream);
            return Err(StoreError::new(StoreErrorKind::Internal, message));
        };
        for (nth, event) in (0..).zip(part.events) {
            events.push(RecordedEvent::new(
                part.stream.clone(),
                version.plus(nth),
                position.plus(nth),
                event.id,
                event.recorded_at.unwrap_or(appended.recorded_at),
                event.metadata,
                RawEvent::new(event.name, event.schema_version, event.payload),
            ));
        }
    }
    Ok(events)
}
