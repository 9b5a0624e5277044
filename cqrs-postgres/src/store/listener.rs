//! The connection that receives notifications of other processes' commits.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use cqrs_core::Position;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::task::AbortHandle;

use crate::database::Database;
use crate::database::connect::CONNECT_TIMEOUT;

/// Pauses between attempts to connect: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Opened when a reader first waits for new events. Stops when it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    /// `None` if readers are to poll.
    options: Option<PgConnectOptions>,
    task: OnceLock<AbortHandle>,
}

impl Listener {
    pub(super) const fn new(options: Option<PgConnectOptions>) -> Self {
        Self { options, task: OnceLock::new() }
    }

    /// Starts to listen, unless it does already.
    pub(super) fn start(&self, database: &Arc<Database>) {
        let Some(options) = &self.options else { return };
        self.task.get_or_init(|| {
            let (database, options) = (Arc::downgrade(database), options.clone());
            tokio::spawn(listen(database, options)).abort_handle()
        });
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Listens until the store is dropped.
async fn listen(database: Weak<Database>, options: PgConnectOptions) {
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = listen_until_lost(&database, &options, &mut pause).await;
        if database.strong_count() == 0 {
            return;
        }
        if let Err(error) = ended {
            tracing::debug!(%error, "listening for events failed");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn listen_until_lost(
    database: &Weak<Database>,
    options: &PgConnectOptions,
    pause: &mut Duration,
) -> Result<(), sqlx::Error> {
    let Some(channel) = database.upgrade().map(|database| database.schema.channel()) else {
        return Ok(());
    };
    // The driver's listener needs a pool; this one contains its connection only.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(&channel).await?;
    *pause = FIRST_PAUSE;
    // Commits before this moment were not announced to this connection.
    if let Some(database) = database.upgrade() {
        let _ = database.read_head().await;
    }
    while let Some(notification) = listener.try_recv().await? {
        let Some(database) = database.upgrade() else { break };
        if let Ok(position) = notification.payload().parse() {
            database.head.raise(Position::new(position));
        }
    }
    Ok(())
}
