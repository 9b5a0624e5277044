//! What users call on any store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use super::{
    Append, AppendError, Appended, EventStore, InvalidAppend, LogRead, Pages, ReadError,
    StoreError, StreamRead,
};
use crate::subscription::{Subscription, SubscriptionOptions};
use crate::{
    CheckpointStore, DurableOptions, DurableSubscription, Event, ExpectedVersion, NewEvent,
    Recorded, RecordedEvent, StreamName,
};

/// Comfort on top of [`EventStore`]; it comes with every store, nobody implements it.
#[async_trait]
pub trait EventStoreExt: EventStore {
    /// Appends typed events to one stream under fresh ids.
    ///
    /// # Errors
    /// As [`EventStore::append`]; also when an event cannot be stored, and then none is.
    async fn append_events<E: Event>(
        &self,
        stream: &StreamName,
        expected: ExpectedVersion,
        events: &[E],
    ) -> Result<Appended, AppendError> {
        let events = events
            .iter()
            .map(NewEvent::of)
            .collect::<Result<_, _>>()
            .map_err(InvalidAppend::Payload)?;
        self.append(Append::to(stream.clone(), expected, events)).await
    }

    /// The events of one stream, one by one.
    fn stream_events(
        &self,
        read: StreamRead,
    ) -> BoxStream<'static, Result<RecordedEvent, ReadError>> {
        one_by_one(self.read_stream(read))
    }

    /// The events of the log, one by one.
    fn log_events(&self, read: LogRead) -> BoxStream<'static, Result<RecordedEvent, ReadError>> {
        one_by_one(self.read_log(read))
    }

    /// The events of one stream as a type, one by one. Use `Filter::types` with `log_events_as`
    /// to pass over other types.
    fn stream_events_as<E: Event>(
        &self,
        read: StreamRead,
    ) -> BoxStream<'static, Result<Recorded<E>, ReadError>> {
        decoded(self.stream_events(read))
    }

    /// The events of the log as a type, one by one. An event of another type is a
    /// [`ReadError::Decode`]; let the store pass over those with
    /// [`Filter::types`](crate::Filter::types).
    fn log_events_as<E: Event>(
        &self,
        read: LogRead,
    ) -> BoxStream<'static, Result<Recorded<E>, ReadError>> {
        decoded(self.log_events(read))
    }

    /// Follows the log: what is stored first, then each new event, in one stream without end.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say where its head is, which only
    /// [`Start::Now`](crate::subscription::Start::Now) asks.
    async fn subscribe(&self, subscribe: SubscriptionOptions) -> Result<Subscription, StoreError>
    where
        Self: Sized + Clone,
    {
        Subscription::open(Arc::new(self.clone()), subscribe).await
    }

    /// Follows the log under a name, behind what was acknowledged before. Nothing is read or
    /// claimed before the first event is asked for.
    fn subscribe_durable(
        &self,
        checkpoints: impl CheckpointStore,
        durable: DurableOptions,
    ) -> DurableSubscription
    where
        Self: Sized + Clone,
    {
        DurableSubscription::open(Arc::new(self.clone()), Arc::new(checkpoints), durable)
    }
}

impl<S: EventStore + ?Sized> EventStoreExt for S {}

fn one_by_one<At: Send + 'static>(
    pages: Pages<At>,
) -> BoxStream<'static, Result<RecordedEvent, ReadError>> {
    pages
        .map_ok(|page| futures_util::stream::iter(page.events.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

fn decoded<E: Event>(
    events: BoxStream<'static, Result<RecordedEvent, ReadError>>,
) -> BoxStream<'static, Result<Recorded<E>, ReadError>> {
    events.map(|event| Ok(event?.into_decoded()?)).boxed()
}
