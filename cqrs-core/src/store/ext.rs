//! The methods that users call on any store.

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
/// Import this trait to call its methods. It is implemented for every store.
#[async_trait]
pub trait EventStoreExt: EventStore {
    /// Appends typed events to one stream, each with a new random id.
    ///
    /// A retry after a failure gives the events new ids, so it may store them twice after
    /// [`AppendError::OutcomeUnknown`]. To make a retry harmless, build the [`Append`] yourself and
    /// append the same value again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
    /// # #[event(crate = cqrs_core)]
    /// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
    /// use cqrs_core::{EventStoreExt, ExpectedVersion, StreamName};
    /// use cqrs_memory::MemoryStore;
    ///
    /// let store = MemoryStore::new();
    /// let cart = StreamName::new("cart-7")?;
    /// let added = [CartEvent::Added("abc".into()), CartEvent::Added("xyz".into())];
    /// let appended = store.append_events(&cart, ExpectedVersion::NoStream, &added).await?;
    /// assert_eq!(appended.version().get(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns the same errors as [`EventStore::append`], and [`AppendError::Invalid`] if an event
    /// cannot be serialized. In that case no event is stored.
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
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
    /// # #[event(crate = cqrs_core)]
    /// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
    /// # let store = cqrs_memory::MemoryStore::new();
    /// use cqrs_core::{EventStoreExt, ExpectedVersion, StreamName, store::{Category, Read}};
    ///
    /// let cart = StreamName::new("cart-7")?;
    /// store.append_events(&cart, ExpectedVersion::NoStream, &[CartEvent::Added("abc".into())]).await?;
    ///
    /// let carts = Read::category(Category::new("cart")?);
    /// let events = store.read(carts).await?.collect().await?;
    /// assert_eq!(events[0].event.name.as_str(), "cart.item-added");
    /// # Ok(()) }
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
    /// An event that is not of type `E` fails with [`ReadError::Decode`]. If the streams contain
    /// other events, select those of `E` with [`Read::of`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
    /// # #[event(crate = cqrs_core)]
    /// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
    /// # let store = cqrs_memory::MemoryStore::new();
    /// use cqrs_core::{EventStoreExt, ExpectedVersion, StreamName, store::Read};
    ///
    /// let cart = StreamName::new("cart-7")?;
    /// let added = [CartEvent::Added("abc".into()), CartEvent::Added("xyz".into())];
    /// store.append_events(&cart, ExpectedVersion::NoStream, &added).await?;
    ///
    /// let newest = Read::stream(cart).backward().limit(1);
    /// let events = store.read_as::<CartEvent>(newest).await?.collect().await?;
    /// assert_eq!(events[0].event, CartEvent::Added("xyz".into()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns the same errors as [`read`](Self::read). Events are decoded when they are taken from
    /// the stream, so [`ReadError::Decode`] is returned there.
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
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
    /// # #[event(crate = cqrs_core)]
    /// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
    /// # let store = cqrs_memory::MemoryStore::new();
    /// use cqrs_core::{EventStoreExt, ExpectedVersion, StreamName};
    /// use cqrs_core::subscription::{Start, SubscriptionOptions};
    ///
    /// let new_events = SubscriptionOptions::all().from(Start::Now);
    /// let mut subscription = store.subscribe(new_events).await?;
    ///
    /// let cart = StreamName::new("cart-7")?;
    /// store.append_events(&cart, ExpectedVersion::Any, &[CartEvent::Added("abc".into())]).await?;
    /// let event = subscription.next().await.expect("a subscription does not end")?;
    /// assert_eq!(event.stream, cart);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns [`StoreError`] if the subscription starts [now](crate::subscription::Start::Now) and
    /// the store fails to return its head. With any other start, this method does not fail.
    async fn subscribe(&self, options: SubscriptionOptions) -> Result<Subscription, StoreError>
    where
        Self: Sized + Clone,
    {
        Subscription::open(Arc::new(self.clone()), options).await
    }

    /// Subscribes to the log under a name, continuing after the events that were acknowledged
    /// before.
    ///
    /// Nothing is read, and no lease is acquired, until [`DurableSubscription::next`] is called.
    /// `checkpoints` is often the same store. See [`DurableSubscription`] for an example.
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
