//! Catching up and following the log: one pull loop with one cursor.
//!
//! A subscription only ever asks the store for what stands behind its cursor. The store's hint
//! that the head has moved makes it ask at once; the poll interval makes it ask when the hint was
//! lost. So there is no seam between old and new events, nothing to buffer for a slow reader, and
//! nothing that can be delivered twice or be missed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt;

use crate::store::{
    DEFAULT_PAGE_SIZE, EventStore, Filter, LogRead, Page, Pages, ReadError, Retry, StoreError,
};
use crate::{Position, RecordedEvent, Timestamp};

/// How long a subscription waits for a hint before it looks by itself.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The first pause after the store was in trouble; it doubles up to the poll interval.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Where a subscription starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first event there is.
    #[default]
    Origin,
    /// With the first event appended from now on.
    Now,
    /// Behind this position.
    After(Position),
    /// With the first event that was recorded at or after this moment.
    At(Timestamp),
}

/// What to subscribe to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscriptionOptions {
    /// Which events.
    pub filter: Filter,
    /// From where on.
    pub start: Start,
    /// At most this many events are read at once, which bounds the memory a subscription holds.
    pub page_size: usize,
    /// The longest time until a new event is seen when the store's hints get lost.
    pub poll_interval: Duration,
}

impl SubscriptionOptions {
    /// To the events that pass a filter, from the first one there is.
    #[must_use]
    pub const fn to(filter: Filter) -> Self {
        Self {
            filter,
            start: Start::Origin,
            page_size: DEFAULT_PAGE_SIZE,
            poll_interval: DEFAULT_POLL_INTERVAL,
        }
    }

    /// To everything, from the first event there is.
    #[must_use]
    pub fn all() -> Self {
        Self::to(Filter::all())
    }

    /// Starts somewhere else.
    #[must_use]
    pub const fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Bounds how many events are read at once; 0 counts as 1.
    #[must_use]
    pub const fn page_size(mut self, events: usize) -> Self {
        self.page_size = if events == 0 { 1 } else { events };
        self
    }

    /// Bounds the wait for a lost hint.
    #[must_use]
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }
}

/// The events that pass a filter: first those stored, then each new one, in order, without end.
///
/// While the store is unavailable the subscription waits and asks again. Any other error is
/// handed out and ends it; subscribe again [`Start::After`] the last position seen.
pub struct Subscription {
    pages: Pages<Position>,
    /// The rest of the page being handed out one by one.
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
        subscribe: SubscriptionOptions,
    ) -> Result<Self, StoreError> {
        let cursor = match subscribe.start {
            Start::Origin | Start::At(_) => Position::START,
            Start::Now => store.head().await?,
            Start::After(position) => position,
        };
        let not_before = match subscribe.start {
            Start::At(moment) => Some(moment),
            Start::Origin | Start::Now | Start::After(_) => None,
        };
        let mut follow = Follow::after(store, subscribe, cursor);
        follow.not_before = not_before;
        let pages = futures_util::stream::unfold(Some(follow), |follow| async {
            let mut follow = follow?;
            match follow.next_page().await {
                Ok(page) => Some((Ok(page), Some(follow))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Self { pages: Box::pin(pages.fuse()), events: Vec::new().into_iter() })
    }

    /// The next events together, as many as are there at once up to the page size.
    ///
    /// # Errors
    /// [`ReadError`] for trouble that does not pass by itself; the subscription has ended then.
    ///
    /// # Cancel safety
    /// Safe: dropping the future loses no event.
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

/// The loop behind every subscription.
pub(crate) struct Follow {
    store: Arc<dyn EventStore>,
    subscribe: SubscriptionOptions,
    /// Everything up to here was handed out or did not pass the filter.
    cursor: Position,
    /// Set until the first event that is recent enough.
    not_before: Option<Timestamp>,
    reading: Option<Pages<Position>>,
    pause: Duration,
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Follow {
    pub(crate) const fn after(
        store: Arc<dyn EventStore>,
        subscribe: SubscriptionOptions,
        cursor: Position,
    ) -> Self {
        Self { store, subscribe, cursor, not_before: None, reading: None, pause: FIRST_PAUSE }
    }

    /// The position before the first event that was recorded at or after a moment.
    pub(crate) async fn position_before(
        store: &dyn EventStore,
        moment: Timestamp,
    ) -> Result<Position, ReadError> {
        let mut pages = store.read_log(LogRead::forward());
        let mut position = Position::START;
        while let Some(page) = pages.next().await {
            for event in page?.events {
                if event.recorded_at >= moment {
                    return Ok(position);
                }
                position = event.position;
            }
        }
        Ok(position)
    }

    /// The next page with something in it.
    async fn next_page(&mut self) -> Result<Page<Position>, ReadError> {
        loop {
            let page = self.step().await?;
            if !page.events.is_empty() {
                return Ok(page);
            }
        }
    }

    /// The next page, also one that only says how far the log was looked at.
    ///
    /// # Cancel safety
    /// Safe: what it returns is the only thing that moves the cursor.
    pub(crate) async fn step(&mut self) -> Result<Page<Position>, ReadError> {
        loop {
            let reading = self.reading.get_or_insert_with(|| {
                self.store.read_log(
                    LogRead::forward()
                        .filter(self.subscribe.filter.clone())
                        .after(self.cursor)
                        .page_size(self.subscribe.page_size),
                )
            });
            match reading.next().await {
                Some(Ok(mut page)) => {
                    self.pause = FIRST_PAUSE;
                    // Invariant: the cursor moves only over what is handed out in this page.
                    self.cursor = self.cursor.max(page.through);
                    self.skip_old(&mut page.events);
                    return Ok(page);
                }
                Some(Err(error)) if error.retry() == Retry::Never => return Err(error),
                Some(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "subscription waits");
                    self.reading = None;
                    tokio::time::sleep(self.pause).await;
                    self.pause =
                        (self.pause * 2).min(self.subscribe.poll_interval.max(FIRST_PAUSE));
                }
                None => {
                    self.reading = None;
                    let hint = self.store.wait_for_head_after(self.cursor);
                    // Either way the log is read again; the time-out is not an error.
                    let _ = tokio::time::timeout(self.subscribe.poll_interval, hint).await;
                }
            }
        }
    }

    fn skip_old(&mut self, events: &mut Vec<RecordedEvent>) {
        if let Some(moment) = self.not_before {
            let old = events.iter().take_while(|event| event.recorded_at < moment).count();
            events.drain(..old);
            if !events.is_empty() {
                self.not_before = None;
            }
        }
    }
}
