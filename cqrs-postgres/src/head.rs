//! The newest position this process has heard of, and who tells it.
//!
//! Three tell: the writer after each commit, every read that asked the database, and one
//! connection that listens for the commits of other processes. All of it is a hint to look again:
//! nothing depends on a notification that does not come.

use std::sync::Weak;
use std::time::Duration;

use cqrs_core::Position;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;

use crate::connections::CONNECT_WITHIN;
use crate::epoch::Epoch;
use crate::store::Shared;

/// Pauses between attempts to listen: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Head {
    epoch: Epoch,
    heard: watch::Sender<Heard>,
}

#[derive(Debug)]
struct Heard {
    position: u64,
    epoch: u64,
}

impl Head {
    pub(crate) fn new(epoch: Epoch) -> Self {
        let heard = watch::Sender::new(Heard { position: 0, epoch: epoch.now() });
        Self { epoch, heard }
    }

    /// Goes back only in a new epoch. If it never did, a follower of a log that is shorter now
    /// would be told without end that there is more.
    pub(crate) fn raise(&self, position: Position) {
        let (position, epoch) = (position.get(), self.epoch.now());
        self.heard.send_if_modified(|heard| {
            let changes = position > heard.position || epoch != heard.epoch;
            if changes {
                *heard = Heard { position, epoch };
            }
            changes
        });
    }

    pub(crate) async fn beyond(&self, position: Position) {
        let mut heard = self.heard.subscribe();
        // The sender lives as long as this.
        let _ = heard.wait_for(|heard| heard.position > position.get()).await;
    }
}

/// Listens until the store is dropped.
pub(crate) async fn listen(store: Weak<Shared>, options: PgConnectOptions, channel: String) {
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = listen_once(&store, &options, &channel, &mut pause).await;
        if store.strong_count() == 0 {
            return;
        }
        if let Err(error) = ended {
            tracing::debug!(%error, "not listening for new events; readers poll");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn listen_once(
    store: &Weak<Shared>,
    options: &PgConnectOptions,
    channel: &str,
    pause: &mut Duration,
) -> Result<(), sqlx::Error> {
    // The listener wants a pool; it holds just this one connection.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(CONNECT_WITHIN)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    *pause = FIRST_PAUSE;
    // What was committed before somebody listened was told to nobody.
    if let Some(store) = store.upgrade() {
        let _ = store.ask_head().await;
    }
    while let Some(told) = listener.try_recv().await? {
        let Some(store) = store.upgrade() else { break };
        if let Ok(position) = told.payload().parse() {
            store.head.raise(Position::new(position));
        }
    }
    Ok(())
}
