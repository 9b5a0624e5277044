//! The result of a read: events, fetched page by page.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use super::ReadError;
use crate::event::RawEvent;
use crate::{Event, Recorded, RecordedEvent};

/// Batches of events, which may be empty.
pub(super) type Batches = BoxStream<'static, Result<Vec<RecordedEvent>, ReadError>>;

/// The events of a [`Read`](super::Read), in its order.
///
/// Returned by [`EventStoreExt::read`](super::EventStoreExt::read) and
/// [`read_as`](super::EventStoreExt::read_as). Call [`collect`](Self::collect) for a `Vec`, or
/// [`next`](Self::next) for one event at a time; the stream then holds one page in memory. It also
/// implements [`Stream`], for the combinators of the `futures` crates.
///
/// The stream ends after the first error.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone, Debug, PartialEq, cqrs_core::Event)]
/// # #[event(crate = cqrs_core)]
/// # enum CartEvent { #[event(name = "cart.item-added")] Added(String) }
/// # use cqrs_core::{ExpectedVersion, StreamName};
/// # let store = cqrs_memory::MemoryStore::new();
/// # let cart = StreamName::new("cart-7")?;
/// # store.append_events(&cart, ExpectedVersion::Any, &[CartEvent::Added("abc".into())]).await?;
/// use cqrs_core::{EventStoreExt, store::Read};
///
/// let mut events = store.read(Read::all()).await?;
/// let mut count = 0;
/// while let Some(event) = events.next().await {
///     let event = event?;
///     println!("{} {} in {}", event.position, event.event.name, event.stream);
///     count += 1;
/// }
/// assert_eq!(count, 1);
/// # Ok(()) }
/// ```
pub struct EventStream<E = RawEvent> {
    batches: Batches,
    /// The rest of the batch that is being returned.
    events: std::vec::IntoIter<RecordedEvent>,
    decode: fn(RecordedEvent) -> Result<Recorded<E>, ReadError>,
    ended: bool,
}

impl<E> fmt::Debug for EventStream<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("fetched", &self.events.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl EventStream {
    /// Fetches the first batch.
    pub(super) async fn open(mut batches: Batches) -> Result<Self, ReadError> {
        let first = batches.next().await.transpose()?.unwrap_or_default();
        Ok(Self { batches, events: first.into_iter(), decode: Ok, ended: false })
    }

    /// Returns a read without events.
    pub(super) fn empty() -> Self {
        Self {
            batches: futures_util::stream::empty().boxed(),
            events: Vec::new().into_iter(),
            decode: Ok,
            ended: true,
        }
    }

    pub(super) fn first_batch_is_empty(&self) -> bool {
        self.events.len() == 0
    }

    /// Decodes the events.
    pub(super) fn decoded<E: Event>(self) -> EventStream<E> {
        EventStream {
            batches: self.batches,
            events: self.events,
            decode: |event| Ok(event.into_decoded()?),
            ended: self.ended,
        }
    }
}

impl<E> EventStream<E> {
    /// Returns the next event, or `None` after the last one.
    ///
    /// # Errors
    /// Returns [`ReadError::Store`] if a further page cannot be fetched, and
    /// [`ReadError::Decode`] if an event cannot be decoded as `E`. To continue after a transient
    /// failure, read again [after](super::Read::after) the position of the last event.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Recorded<E>, ReadError>> {
        StreamExt::next(self).await
    }

    /// Collects the remaining events into a `Vec`.
    ///
    /// All of them are in memory at once; use [`Read::limit`](super::Read::limit) to bound their
    /// number.
    ///
    /// # Errors
    /// Returns the same errors as [`next`](Self::next). The events read before the failure are
    /// dropped.
    pub async fn collect(mut self) -> Result<Vec<Recorded<E>>, ReadError> {
        let mut collected = Vec::with_capacity(self.events.len());
        while let Some(event) = self.next().await {
            collected.push(event?);
        }
        Ok(collected)
    }
}

impl<E> Stream for EventStream<E> {
    type Item = Result<Recorded<E>, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(event) = self.events.next() {
                let decoded = (self.decode)(event);
                self.ended = decoded.is_err();
                return Poll::Ready(Some(decoded));
            }
            match std::task::ready!(self.batches.poll_next_unpin(context)) {
                Some(Ok(events)) => self.events = events.into_iter(),
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.ended = true,
            }
        }
    }
}
