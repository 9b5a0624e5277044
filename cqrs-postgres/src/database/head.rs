//! The newest position that this process has seen.
//!
//! It is raised by the writer after each commit, by every read of the head, and by notifications
//! of other processes' commits. It is a hint to read again: nothing depends on a notification that
//! does not arrive.

use cqrs_core::Position;
use tokio::sync::watch;

use super::epoch::Epoch;

#[derive(Debug)]
pub(crate) struct Head {
    epoch: Epoch,
    seen: watch::Sender<Seen>,
}

#[derive(Debug)]
struct Seen {
    position: u64,
    epoch: u64,
}

impl Head {
    pub(crate) fn new(epoch: Epoch) -> Self {
        let seen = watch::Sender::new(Seen { position: 0, epoch: epoch.now() });
        Self { epoch, seen }
    }

    /// Records a position. It goes back only in a new epoch, when the log may have become shorter:
    /// a follower would otherwise be woken forever for events that no longer exist.
    pub(crate) fn raise(&self, position: Position) {
        let (position, epoch) = (position.get(), self.epoch.now());
        self.seen.send_if_modified(|seen| {
            let changes = position > seen.position || epoch != seen.epoch;
            if changes {
                *seen = Seen { position, epoch };
            }
            changes
        });
    }

    /// Waits until the head is after a position.
    pub(crate) async fn wait_after(&self, position: Position) {
        let mut seen = self.seen.subscribe();
        // Fails only without a sender, and `self` holds it.
        let _ = seen.wait_for(|seen| seen.position > position.get()).await;
    }
}
