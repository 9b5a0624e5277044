//! Failures around a store: each is reported by one clear error, nothing is lost, and the same store
//! works again when the cause is gone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod connecting;
mod hostile;
mod lost;
mod pooler;
mod running;

use cluster::Database;
use cqrs_core::{
    EventStore, ExpectedVersion, StreamName,
    event::{NewEvent, RecordedEvent},
    store::{Append, AppendError, LogRead, Retry, StoreError, StoreErrorKind},
};
use cqrs_postgres::PgStore;
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions};

async fn store_in(database: &Database) -> PgStore {
    PgStore::builder().options(database.options()).migrate().await.unwrap()
}

async fn session(database: &Database) -> PgConnection {
    database.options().connect().await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

fn one(stream: &str) -> Append {
    let event = NewEvent::json("test.happened", stream).unwrap();
    Append::to(StreamName::new(stream).unwrap(), ExpectedVersion::Any, vec![event])
}

async fn all(store: &PgStore) -> Vec<RecordedEvent> {
    let pages: Vec<_> = store.read_log(LogRead::forward()).try_collect().await.unwrap();
    pages.into_iter().flat_map(|page| page.events).collect()
}

/// The error of an append of which nothing was stored.
fn store_error(rejected: AppendError) -> StoreError {
    match rejected {
        AppendError::Store(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Checks the kind of an error, whether a retry helps, and that its text is one line.
fn is(error: &StoreError, kind: StoreErrorKind, retry: Retry) {
    assert_eq!((error.kind(), error.retry()), (kind, retry), "{error:?}");
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{text}");
}
