//! A reader that follows the log during the whole test.

use std::sync::Arc;

use cqrs_core::{
    EventStoreExt, Position,
    subscription::{Start, SubscriptionOptions},
};
use cqrs_postgres::PgStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::observations::Seen;

pub(crate) struct Reader {
    stop_at: watch::Sender<Option<Position>>,
    reading: JoinHandle<Vec<Seen>>,
    name: &'static str,
}

impl Reader {
    pub(crate) fn start(name: &'static str, store: PgStore) -> Self {
        let (stop_at, mut until) = watch::channel(None);
        let reading = tokio::spawn(async move {
            let store = Arc::new(store);
            let mut seen: Vec<Seen> = Vec::new();
            let mut events = store.subscribe(SubscriptionOptions::all()).await.unwrap();
            loop {
                let last = seen.last().map_or(Position::START, |event| event.position);
                if until.borrow_and_update().is_some_and(|end| last >= end) {
                    return seen;
                }
                tokio::select! {
                    event = events.next() => match event {
                        Some(Ok(event)) => seen.push(Seen::of(&event)),
                        // After an error, a new subscription continues after the last position.
                        _ => {
                            let again = SubscriptionOptions::all().from(Start::After(last));
                            events = store.subscribe(again).await.unwrap();
                        }
                    },
                    _ = until.changed() => {}
                }
            }
        });
        Self { stop_at, reading, name }
    }

    /// Waits until the reader has reached the head, and returns the events it saw.
    pub(crate) async fn stop(self, head: Position) -> (&'static str, Vec<Seen>) {
        self.stop_at.send_replace(Some(head));
        let limit = std::time::Duration::from_secs(60);
        let seen = tokio::time::timeout(limit, self.reading).await;
        let seen = seen.unwrap_or_else(|_| panic!("`{}` did not reach position {head}", self.name));
        (self.name, seen.unwrap())
    }
}
