//! A read as a stream of pages.

use std::sync::Arc;

use cqrs_core::{
    event::RecordedEvent,
    store::{Page, Pages, ReadError},
};
use sqlx::postgres::PgRow;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::rows;
use crate::database::Database;

/// A read and how far it has got.
pub(crate) trait Cursor: Send + 'static {
    type At: Send + 'static;

    /// Fetches the next page; `None` at the end.
    fn fetch(
        &mut self,
    ) -> impl Future<Output = Result<Option<Fetched<Self::At>>, ReadError>> + Send + '_;

    /// Returns `true` if another page may follow.
    fn has_more(&self) -> bool;
}

/// A page before it is decoded. The reader decodes it while the next one is fetched.
pub(crate) struct Fetched<At> {
    pub(crate) found: Found,
    pub(crate) through: At,
    /// Positions have to be consecutive.
    pub(crate) is_dense: bool,
}

pub(crate) enum Found {
    Rows(Vec<PgRow>),
    Events(Vec<RecordedEvent>),
}

impl<At> Fetched<At> {
    async fn page(self, database: &Database) -> Result<Page<At>, ReadError> {
        let events = match self.found {
            Found::Rows(rows) => rows::events(&rows, database).await?,
            Found::Events(events) => events,
        };
        if self.is_dense {
            rows::check_dense(&events)?;
        }
        Ok(Page::new(events, self.through))
    }
}

enum Reading<C: Cursor> {
    Unread(C),
    Ahead(Ahead<C::At>),
    Ended,
}

/// A task that fetches the next page while the reader uses the last one, so that the server and
/// the reader work at the same time.
struct Ahead<At> {
    pages: mpsc::Receiver<Result<Fetched<At>, ReadError>>,
    task: AbortHandle,
}

impl<At> Drop for Ahead<At> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The pages of a read. The first is fetched when it is polled; if more follow, a task fetches one
/// page in advance.
pub(crate) fn pages<C: Cursor>(database: Arc<Database>, cursor: C) -> Pages<C::At> {
    let unread = (database, Reading::Unread(cursor));
    Box::pin(futures_util::stream::unfold(unread, |(database, reading)| async {
        let (fetched, rest) = match reading {
            Reading::Unread(mut cursor) => {
                let first = cursor.fetch().await.transpose()?;
                let has_more = first.is_ok() && cursor.has_more();
                (first, if has_more { Reading::Ahead(read_ahead(cursor)) } else { Reading::Ended })
            }
            Reading::Ahead(mut ahead) => (ahead.pages.recv().await?, Reading::Ahead(ahead)),
            Reading::Ended => return None,
        };
        let page = match fetched {
            Ok(fetched) => fetched.page(&database).await,
            Err(error) => Err(error),
        };
        // An error ends the stream.
        let rest = if page.is_ok() { rest } else { Reading::Ended };
        Some((page, (database, rest)))
    }))
}

fn read_ahead<C: Cursor>(mut cursor: C) -> Ahead<C::At> {
    let (send, pages) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while cursor.has_more() {
            // A page is fetched only once there is room for it, so only one is fetched in advance.
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
