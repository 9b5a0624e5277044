//! The stores on a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests fail by panicking

mod batches;
mod caller_transactions;
mod columns;
mod conformance;
mod import;
mod newest;
mod pool;
mod proxy;
mod queries;
mod read_models;
mod reads;
mod schema;
#[cfg(feature = "testing")]
mod test_schema;

use cluster::Database;
use cqrs_core::{
    EventStore, ExpectedVersion, StreamName,
    event::{NewEvent, RecordedEvent},
    store::{Append, LogRead},
};
use cqrs_postgres::PgStore;
use futures_util::TryStreamExt;

/// A store in a new database.
async fn store_in(database: &Database) -> PgStore {
    PgStore::builder().options(database.options()).migrate().await.unwrap()
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event(content: &str) -> NewEvent {
    NewEvent::json("test.happened", content).unwrap()
}

fn one(to: &str, content: &str) -> Append {
    Append::to(stream(to), ExpectedVersion::Any, vec![event(content)])
}

async fn all(store: &impl EventStore) -> Vec<RecordedEvent> {
    let pages: Vec<_> = store.read_log(LogRead::forward()).try_collect().await.unwrap();
    pages.into_iter().flat_map(|page| page.events).collect()
}

/// The contents of all events, in the order of the log.
async fn contents(store: &impl EventStore) -> Vec<String> {
    all(store).await.iter().map(|event| event.event.payload.decode().unwrap()).collect()
}
