//! Subscriptions without a name.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt;

use super::follow::Follow;
use super::options::{Start, SubscriptionOptions};
use crate::store::{EventStore, Pages, ReadError, StoreError};
use crate::{Position, RecordedEvent};

/// The events that pass a filter: the stored ones first, then each new one, in order, without end.
///
/// Returned by [`EventStoreExt::subscribe`](crate::EventStoreExt::subscribe). Call
/// [`next`](Self::next) for one event at a time or [`next_page`](Self::next_page) for all that are
/// available; it also implements [`Stream`].
///
/// While the store is unavailable, the subscription waits and retries. Any other error is returned
/// and ends the subscription. To continue, subscribe again [`Start::After`] the last position you
/// have seen.
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
/// # let added = [CartEvent::Added("abc".into()), CartEvent::Added("xyz".into())];
/// # store.append_events(&cart, ExpectedVersion::Any, &added).await?;
/// use cqrs_core::{EventStoreExt, Position};
/// use cqrs_core::subscription::{Start, SubscriptionOptions};
///
/// let seen = Position::new(1);
/// let options = SubscriptionOptions::all().from(Start::After(seen));
/// let mut subscription = store.subscribe(options).await?;
/// let event = subscription.next().await.expect("a subscription does not end")?;
/// assert_eq!(event.position, Position::new(2));
/// # Ok(()) }
/// ```
pub struct Subscription {
    pages: Pages<Position>,
    /// The events of the current page that have not been returned yet.
    events: std::vec::IntoIter<RecordedEvent>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) async fn open(
        store: Arc<dyn EventStore>,
        options: SubscriptionOptions,
    ) -> Result<Self, StoreError> {
        let follow = match options.start {
            Start::Origin => Follow::after(store, options, Position::START),
            Start::Now => {
                let head = store.head().await?;
                Follow::after(store, options, head)
            }
            Start::After(position) => Follow::after(store, options, position),
            Start::At(moment) => Follow::from_moment(store, options, moment),
        };
        let pages = futures_util::stream::unfold(Some(follow), |follow| async {
            let mut follow = follow?;
            match follow.next_page().await {
                Ok(page) => Some((Ok(page), Some(follow))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Self { pages: Box::pin(pages.fuse()), events: Vec::new().into_iter() })
    }

    /// Waits for the next event and returns it. Returns `None` after an error.
    ///
    /// # Errors
    /// Returns [`ReadError`] for a failure that is not transient, after which the subscription
    /// ends.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<RecordedEvent, ReadError>> {
        StreamExt::next(self).await
    }

    /// Waits for an event and returns it together with all further events that are available
    /// immediately, up to the page size. Returns `None` after an error.
    ///
    /// # Errors
    /// Returns the same errors as [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next_page(&mut self) -> Option<Result<Vec<RecordedEvent>, ReadError>> {
        if !self.events.as_slice().is_empty() {
            return Some(Ok(std::mem::take(&mut self.events).collect()));
        }
        Some(self.pages.next().await?.map(|page| page.events))
    }
}

impl Stream for Subscription {
    type Item = Result<RecordedEvent, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.events.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            match std::task::ready!(self.pages.poll_next_unpin(context)) {
                Some(Ok(page)) => self.events = page.events.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
