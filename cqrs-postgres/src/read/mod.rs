//! Reading, page by page.

pub(crate) mod log;
pub(crate) mod rows;
pub(crate) mod stream;

use cqrs_core::{Page, Pages, ReadError};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The place of a read.
pub(crate) trait Cursor: Send + 'static {
    type At: Send + 'static;

    /// The next page; `None` when there is nothing left to say.
    fn next(
        &mut self,
    ) -> impl Future<Output = Result<Option<Page<Self::At>>, ReadError>> + Send + '_;

    /// Whether another page may follow.
    fn goes_on(&self) -> bool;
}

enum Reading<C: Cursor> {
    Unread(C),
    Ahead(Ahead<C::At>),
    Ended,
}

/// A task that reads the next page while the last one is being used: the server and the reader
/// then work at the same time.
struct Ahead<At> {
    pages: mpsc::Receiver<Result<Page<At>, ReadError>>,
    task: AbortHandle,
}

impl<At> Drop for Ahead<At> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The pages of a read. The first is read when it is asked for; only when more follow, a task
/// goes on in advance by one page.
pub(crate) fn pages<C: Cursor>(cursor: C) -> Pages<C::At> {
    Box::pin(futures_util::stream::unfold(Reading::Unread(cursor), |reading| async {
        match reading {
            Reading::Unread(mut cursor) => {
                let first = cursor.next().await.transpose()?;
                let go_on = first.is_ok() && cursor.goes_on();
                let rest = if go_on { Reading::Ahead(read_ahead(cursor)) } else { Reading::Ended };
                Some((first, rest))
            }
            Reading::Ahead(mut ahead) => {
                let page = ahead.pages.recv().await?;
                Some((page, Reading::Ahead(ahead)))
            }
            Reading::Ended => None,
        }
    }))
}

fn read_ahead<C: Cursor>(mut cursor: C) -> Ahead<C::At> {
    let (send, pages) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while cursor.goes_on() {
            // Room first, then the page: only one is read in advance.
            let Ok(room) = send.reserve().await else { return };
            let Some(page) = cursor.next().await.transpose() else { return };
            let failed = page.is_err();
            room.send(page);
            if failed {
                return;
            }
        }
    });
    Ahead { pages, task: task.abort_handle() }
}

/// A number of the core for the database, which has none beyond `i64`.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of the database, which are never negative there.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
