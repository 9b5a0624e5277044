//! Reading, page by page.

pub(crate) mod log;
pub(crate) mod rows;
pub(crate) mod stream;

use std::sync::Arc;

use cqrs_core::{
    event::RecordedEvent,
    store::{Page, Pages, ReadError},
};
use sqlx::postgres::PgRow;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::store::Shared;

/// The place of a read.
pub(crate) trait Cursor: Send + 'static {
    type At: Send + 'static;

    /// The next page as the database gave it; `None` when there is nothing left to say.
    fn fetch(
        &mut self,
    ) -> impl Future<Output = Result<Option<Fetched<Self::At>>, ReadError>> + Send + '_;

    /// Whether another page may follow.
    fn goes_on(&self) -> bool;
}

/// A page that nobody has looked into yet. Whoever reads makes events of it, so that the next one
/// can be fetched at the same time.
pub(crate) struct Fetched<At> {
    pub(crate) found: Found,
    pub(crate) through: At,
    /// Positions must follow each other without a gap.
    pub(crate) is_dense: bool,
}

pub(crate) enum Found {
    Rows(Vec<PgRow>),
    Events(Vec<RecordedEvent>),
}

impl<At> Fetched<At> {
    async fn page(self, shared: &Shared) -> Result<Page<At>, ReadError> {
        let events = match self.found {
            Found::Rows(rows) => rows::events(&rows, shared).await?,
            Found::Events(events) => events,
        };
        if self.is_dense {
            log::assert_dense(&events)?;
        }
        Ok(Page::new(events, self.through))
    }
}

enum Reading<C: Cursor> {
    Unread(C),
    Ahead(Ahead<C::At>),
    Ended,
}

/// A task that fetches the next page while the last one is being used: the server and the reader
/// then work at the same time.
struct Ahead<At> {
    pages: mpsc::Receiver<Result<Fetched<At>, ReadError>>,
    task: AbortHandle,
}

impl<At> Drop for Ahead<At> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The pages of a read. The first is fetched when it is asked for; only when more follow, a task
/// goes on in advance by one page.
pub(crate) fn pages<C: Cursor>(shared: Arc<Shared>, cursor: C) -> Pages<C::At> {
    let unread = (shared, Reading::Unread(cursor));
    Box::pin(futures_util::stream::unfold(unread, |(shared, reading)| async {
        let (fetched, rest) = match reading {
            Reading::Unread(mut cursor) => {
                let first = cursor.fetch().await.transpose()?;
                let go_on = first.is_ok() && cursor.goes_on();
                (first, if go_on { Reading::Ahead(read_ahead(cursor)) } else { Reading::Ended })
            }
            Reading::Ahead(mut ahead) => (ahead.pages.recv().await?, Reading::Ahead(ahead)),
            Reading::Ended => return None,
        };
        let page = match fetched {
            Ok(fetched) => fetched.page(&shared).await,
            Err(error) => Err(error),
        };
        // An error is the end.
        let rest = if page.is_ok() { rest } else { Reading::Ended };
        Some((page, (shared, rest)))
    }))
}

fn read_ahead<C: Cursor>(mut cursor: C) -> Ahead<C::At> {
    let (send, pages) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while cursor.goes_on() {
            // Room first, then the page: only one is fetched in advance.
            let Ok(room) = send.reserve().await else { return };
            let Some(page) = cursor.fetch().await.transpose() else { return };
            let failed = page.is_err();
            room.send(page);
            if failed {
                return;
            }
        }
    });
    Ahead { pages, task: task.abort_handle() }
}
