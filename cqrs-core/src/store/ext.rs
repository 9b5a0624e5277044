//! What users call on any store.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Append, AppendError, Appended, EventStore, EventStream, InvalidAppend, Read, ReadError,
    StoreError,
};
use crate::subscription::{Subscription, SubscriptionOptions};
use crate::{
    CheckpointStore, DurableOptions, DurableSubscription, Event, ExpectedVersion, NewEvent,
    StreamName,
};

/// Reading, subscribing and appending typed events, on every [`EventStore`].
///
/// Import this trait to call its methods; there is nothing to implement.
#[async_trait]
pub trait EventStoreExt: EventStore {
    /// Appends typed events to one stream, each with a new random id.
    ///
    /// A retry after a failure gives the events new ids, so it may store them twice after
    /// [`AppendError::OutcomeUnknown`]. To make a retry harmless, build the [`Append`] yourself and
    /// append the same value again.
    ///
    /// ```
    /// use cqrs_core::{Event, EventStore, EventStoreExt, ExpectedVersion, StreamName, Version};
    /// use cqrs_core::store::AppendError;
    ///
    /// async fn record<E: Event>(
    ///     store: &impl EventStore,
    ///     stream: &StreamName,
    ///     events: &[E],
    /// ) -> Result<Version, AppendError> {
    ///     let appended = store.append_events(stream, ExpectedVersion::NoStream, events).await?;
    ///     Ok(appended.version())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`EventStore::append`]. Returns [`AppendError::Invalid`] if an event cannot be
    /// serialized; no event is stored then.
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

    /// Reads events as they are stored. The first page is fetched before this returns, so most
    /// failures are reported here; further pages are fetched on demand.
    ///
    /// ```
    /// use cqrs_core::{EventStore, EventStoreExt, store::{Category, Read, ReadError}};
    ///
    /// async fn count(store: &impl EventStore, category: Category) -> Result<usize, ReadError> {
    ///     let events = store.read(Read::category(category)).await?.collect().await?;
    ///     Ok(events.len())
    /// }
    /// ```
    ///
    /// # Errors
    /// Returns [`ReadError::Store`] if the store fails, and [`ReadError::StreamNotFound`] if the
    /// stream has no events and the request says that it [must exist](Read::must_exist).
    fn read(
        &self,
        read: impl Into<Read>,
    ) -> impl Future<Output = Result<EventStream, ReadError>> + Send {
        let request = read.into().into_request();
        async move { request.open(self).await }
    }

    /// Reads events as a type.
    ///
    /// An event of another type is a [`ReadError::Decode`]. Select the types of `E` with
    /// [`Read::of`] if the streams contain others.
    ///
    /// ```
    /// use cqrs_core::{Event, EventStore, EventStoreExt, StreamName, store::{Read, ReadError}};
    ///
    /// async fn newest<E: Event>(
    ///     store: &impl EventStore,
    ///     stream: StreamName,
    /// ) -> Result<Option<E>, ReadError> {
    ///     let read = Read::stream(stream).backward().limit(1);
    ///     let newest = store.read_as::<E>(read).await?.next().await.transpose()?;
    ///     Ok(newest.map(|recorded| recorded.event))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read). Events are decoded when they are taken from the stream, so a
    /// [`ReadError::Decode`] is returned there.
    fn read_as<E: Event>(
        &self,
        read: impl Into<Read>,
    ) -> impl Future<Output = Result<EventStream<E>, ReadError>> + Send {
        let request = read.into().into_request();
        async move { Ok(request.open(self).await?.decoded()) }
    }

    /// Subscribes to the log: returns the stored events first, then each new one, in one stream
    /// that does not end.
    ///
    /// ```
    /// use cqrs_core::{EventStore, EventStoreExt, store::StoreError};
    /// use cqrs_core::subscription::{Start, SubscriptionOptions};
    ///
    /// async fn log_new_events(store: &(impl EventStore + Clone)) -> Result<(), StoreError> {
    ///     let options = SubscriptionOptions::all().from(Start::Now);
    ///     let mut subscription = store.subscribe(options).await?;
    ///     while let Some(Ok(events)) = subscription.next_page().await {
    ///         for event in events {
    ///             println!("{}", event.event.name);
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Returns [`StoreError`] if the subscription starts [now](crate::subscription::Start::Now) and
    /// the store fails to return its head. Other starts do not fail here.
    async fn subscribe(&self, options: SubscriptionOptions) -> Result<Subscription, StoreError>
    where
        Self: Sized + Clone,
    {
        Subscription::open(Arc::new(self.clone()), options).await
    }

    /// Subscribes to the log under a name, continuing after the events that were acknowledged
    /// before.
    ///
    /// Nothing is read, and no lease is acquired, until
    /// [`DurableSubscription::next`] is called. `checkpoints` is often the same store.
    fn subscribe_durable(
        &self,
        checkpoints: impl CheckpointStore,
        options: DurableOptions,
    ) -> DurableSubscription
    where
        Self: Sized + Clone,
    {
        DurableSubscription::open(Arc::new(self.clone()), Arc::new(checkpoints), options)
    }
}

impl<S: EventStore + ?Sized> EventStoreExt for S {}
