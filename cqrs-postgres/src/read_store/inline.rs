//! Appends that take projectors along, in one transaction of the database.

use async_trait::async_trait;
use cqrs_core::projection::{AppendProjecting, InlineProjection};
use cqrs_core::{
    event::{RawEvent, RecordedEvent},
    store::{Append, AppendError, Appended, AppendedStream, StoreError, StoreErrorKind},
};

use super::PgReadStore;
use crate::PgStore;
use crate::error::{is_lost, sqlstate, store_error};

/// The tables of the read store have to be in the database of the event store. The lock of the log
/// is held while the projectors work, so every other append waits for them.
#[async_trait]
impl AppendProjecting<PgReadStore> for PgStore {
    async fn append_projecting(
        &self,
        read: &PgReadStore,
        append: Append,
        projection: &InlineProjection<PgReadStore>,
    ) -> Result<Appended, AppendError> {
        if append.event_count() == 0 {
            return self.append_grouped(append).await;
        }
        let mut tx = read.begin_plain().await?;
        let appended = self.append_in(&mut tx, append.clone()).await?;
        if !appended.repeated {
            projection.take_in(read, &mut tx, &recorded(append, &appended)?).await?;
        }
        match tx.commit().await {
            Ok(()) => Ok(appended),
            Err(error) if !is_lost(&error) && sqlstate(&error).is_some() => {
                Err(store_error(error).into())
            }
            Err(error) => Err(AppendError::OutcomeUnknown(store_error(error))),
        }
    }
}

/// The events of an append as they are recorded now.
fn recorded(append: Append, appended: &Appended) -> Result<Vec<RecordedEvent>, StoreError> {
    let mut events = Vec::with_capacity(append.event_count());
    for (part, stored) in append.streams.into_iter().zip(&appended.streams) {
        let places = stored.first_version().zip(AppendedStream::first_position(stored));
        let Some((version, position)) = places else {
            if part.events.is_empty() {
                continue;
            }
            let message = "an append without the places of its events";
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
