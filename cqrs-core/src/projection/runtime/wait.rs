//! Waits until a consumer has handled an event, here or on another node.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::handle::NodeHandle;
use super::shared::Shared;
use crate::Position;
use crate::names::ConsumerName;
use crate::projection::store::{ConsumerRecord, ReadStore};
use crate::projection::wait::{Positions, Waited};

/// The pause between queries for the checkpoint of another node: it grows from the first to the
/// last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// How far the live generation is.
enum Reached {
    /// All partitions have reached the position.
    All,
    /// A partition that runs here has not.
    NotHere,
    /// A partition that runs on another node, or on none, has not.
    NotElsewhere,
    Rebuilding,
}

impl<S: ReadStore> Shared<S> {
    fn reached(
        &self,
        record: Option<&ConsumerRecord>,
        version: u32,
        position: Position,
    ) -> Reached {
        let Some(record) = record else { return Reached::Rebuilding };
        let Some(live) = record.live().filter(|live| live.version >= version) else {
            return Reached::Rebuilding;
        };
        let statuses = self.statuses();
        let mut reached = Reached::All;
        for (partition, record) in record.partitions(live) {
            let here = statuses.get(&partition).map(|status| status.inner().cursor);
            if here.unwrap_or_default().max(record.position) >= position {
                continue;
            }
            if here.is_none() {
                return Reached::NotElsewhere;
            }
            reached = Reached::NotHere;
        }
        reached
    }
}

#[async_trait]
impl<S: ReadStore> Positions for NodeHandle<S> {
    async fn wait(
        &self,
        name: &ConsumerName,
        position: Position,
        until: Option<Instant>,
    ) -> Waited {
        let Some(version) = self.find(name).map(|consumer| consumer.version()) else {
            return Waited::Behind;
        };
        let shared = &self.shared;
        let mut progress = shared.progress();
        let mut record = shared.record(name);
        let mut pause = FIRST_PAUSE;
        loop {
            // Marked as seen before the check, so that no progress in between is missed.
            progress.borrow_and_update();
            let check_after = match shared.reached(record.as_ref(), version, position) {
                Reached::All => return Waited::CaughtUp,
                Reached::NotHere => None,
                Reached::NotElsewhere | Reached::Rebuilding => {
                    match shared.read.inspect(Some(name)).await {
                        Ok(fresh) => {
                            record = fresh.into_iter().next();
                            match shared.reached(record.as_ref(), version, position) {
                                Reached::All => return Waited::CaughtUp,
                                Reached::Rebuilding => return Waited::Rebuilding,
                                Reached::NotHere => None,
                                Reached::NotElsewhere => Some(pause),
                            }
                        }
                        Err(_) => Some(LAST_PAUSE),
                    }
                }
            };
            let check_again = async {
                match check_after {
                    Some(pause) => tokio::time::sleep(pause).await,
                    // The sender lives as long as `self`.
                    None => drop(progress.changed().await),
                }
            };
            let is_late = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = check_again => {}
                () = is_late => return Waited::Behind,
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}
