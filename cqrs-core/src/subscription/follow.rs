//! Following the log: one loop with one cursor, which every subscription uses.
//!
//! The loop only reads events after its cursor. It reads when the store reports that the head has
//! moved, and at the latest after the poll interval, in case a notification was lost. Old and new
//! events are read in the same way, so nothing is buffered for a slow reader, and no event is
//! missed or delivered twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::options::SubscriptionOptions;
use crate::store::{EventStore, LogRead, Page, Pages, ReadError, Retry};
use crate::{Position, RecordedEvent, Timestamp};

/// The first pause after a transient failure; it doubles up to the poll interval.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Reads the log page by page, and waits for new events at its end.
pub(crate) struct Follow {
    store: Arc<dyn EventStore>,
    options: SubscriptionOptions,
    /// Every event up to here was returned or did not pass the filter.
    cursor: Position,
    /// If set, events are skipped until the first one recorded at or after this time.
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
    /// Starts after a position, regardless of the start in the options.
    pub(crate) const fn after(
        store: Arc<dyn EventStore>,
        options: SubscriptionOptions,
        cursor: Position,
    ) -> Self {
        Self { store, options, cursor, not_before: None, reading: None, pause: FIRST_PAUSE }
    }

    /// Starts at the first event recorded at or after a moment, regardless of the start in the
    /// options.
    pub(super) fn from_moment(
        store: Arc<dyn EventStore>,
        options: SubscriptionOptions,
        moment: Timestamp,
    ) -> Self {
        Self { not_before: Some(moment), ..Self::after(store, options, Position::START) }
    }

    /// Returns the position before the first event recorded at or after a moment, or the head if
    /// there is no such event.
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

    /// Returns the next page that has events.
    pub(super) async fn next_page(&mut self) -> Result<Page<Position>, ReadError> {
        loop {
            let page = self.step().await?;
            if !page.events.is_empty() {
                return Ok(page);
            }
        }
    }

    /// Returns the next page, which is empty if no event passed the filter.
    ///
    /// # Cancel safety
    /// The cursor moves only when a page is returned, so dropping the future loses nothing.
    pub(crate) async fn step(&mut self) -> Result<Page<Position>, ReadError> {
        loop {
            let reading = self.reading.get_or_insert_with(|| {
                self.store.read_log(
                    LogRead::forward()
                        .filter(self.options.filter.clone())
                        .after(self.cursor)
                        .page_size(self.options.page_size),
                )
            });
            match reading.next().await {
                Some(Ok(mut page)) => {
                    self.pause = FIRST_PAUSE;
                    self.cursor = self.cursor.max(page.through);
                    self.skip_old(&mut page.events);
                    return Ok(page);
                }
                Some(Err(error)) if error.retry() == Retry::Never => return Err(error),
                Some(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        cursor = %self.cursor,
                        "subscription read failed"
                    );
                    self.reading = None;
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(self.options.poll_interval.max(FIRST_PAUSE));
                }
                None => {
                    self.reading = None;
                    let notified = self.store.wait_for_head_after(self.cursor);
                    // The log is read again in both cases, so the timeout is not an error.
                    let _ = tokio::time::timeout(self.options.poll_interval, notified).await;
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
