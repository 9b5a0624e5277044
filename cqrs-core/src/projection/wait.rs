//! Read your write: waiting until a read model knows an event.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::node::Shared;
use super::read_store::ReadStore;
use super::records::ConsumerRecord;
use crate::Position;
use crate::names::ConsumerName;

/// How often another process's checkpoint is looked at, at first and later.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(250);

/// What came of waiting for read models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// They know the event.
    CaughtUp,
    /// They did not get there in time. They will; wait again with the same position.
    Behind,
    /// One of them is being built for the first time or for a new version, and shows older
    /// events or nothing. Waiting longer than seconds makes no sense.
    Rebuilding,
}

/// No projector of this name runs here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no projector `{name}` here")]
pub struct UnknownConsumer {
    /// The name.
    pub name: String,
}

/// Waits for some read models. Made by [`Projections::waiter`](super::Projections::waiter), cheap
/// to clone, and free of types, so that it can be handed to a dispatch.
#[derive(Clone)]
pub struct Waiter {
    pub(super) names: Arc<[ConsumerName]>,
    pub(super) positions: Arc<dyn Positions>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Waiter {
    /// Waits until all of them know everything up to a position, or the time is over.
    ///
    /// In the process that runs a projector this costs no query; otherwise its checkpoint is
    /// looked at, which may lag by a heartbeat (a second) behind events that do not concern it.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn wait(&self, position: Position, within: Duration) -> Waited {
        if position == Position::START {
            return Waited::CaughtUp;
        }
        let until = Instant::now().checked_add(within);
        for name in &*self.names {
            match self.positions.wait(name, position, until).await {
                Waited::CaughtUp => {}
                other => return other,
            }
        }
        Waited::CaughtUp
    }
}

/// Where the read models of a process are.
#[async_trait]
pub(super) trait Positions: Send + Sync {
    async fn wait(&self, name: &ConsumerName, position: Position, until: Option<Instant>)
    -> Waited;
}

/// How far a read model has got, as seen from here.
enum Seen {
    /// All partitions are there.
    There,
    /// One that runs here is not.
    BehindHere,
    /// One that runs elsewhere, or nowhere, is not.
    BehindElsewhere,
    Rebuilding,
}

impl<S: ReadStore> Shared<S> {
    fn see(&self, record: Option<&ConsumerRecord>, version: u32, position: Position) -> Seen {
        let Some(record) = record else { return Seen::Rebuilding };
        let Some(live) = record.live().filter(|live| live.version >= version) else {
            return Seen::Rebuilding;
        };
        let statuses = self.statuses();
        let mut seen = Seen::There;
        for (partition, record) in record.partitions(live) {
            let here = statuses.get(&partition).map(|status| status.inner().cursor);
            if here.unwrap_or_default().max(record.position) >= position {
                continue;
            }
            if here.is_none() {
                return Seen::BehindElsewhere;
            }
            seen = Seen::BehindHere;
        }
        seen
    }
}

#[async_trait]
impl<S: ReadStore> Positions for Shared<S> {
    async fn wait(
        &self,
        name: &ConsumerName,
        position: Position,
        until: Option<Instant>,
    ) -> Waited {
        let Some(version) = self.find(name).map(|projector| projector.version()) else {
            return Waited::Behind;
        };
        let mut progressed = self.progressed.subscribe();
        let mut record = self.record(name);
        let mut pause = FIRST_LOOK;
        loop {
            // Marked as seen before looking, so that progress in between is not missed.
            progressed.borrow_and_update();
            let look_again = match self.see(record.as_ref(), version, position) {
                Seen::There => return Waited::CaughtUp,
                Seen::BehindHere => None,
                Seen::BehindElsewhere | Seen::Rebuilding => {
                    match self.read.inspect(Some(name)).await {
                        Ok(fresh) => {
                            record = fresh.into_iter().next();
                            match self.see(record.as_ref(), version, position) {
                                Seen::There => return Waited::CaughtUp,
                                Seen::Rebuilding => return Waited::Rebuilding,
                                Seen::BehindHere => None,
                                Seen::BehindElsewhere => Some(pause),
                            }
                        }
                        Err(_) => Some(LAST_LOOK),
                    }
                }
            };
            let again = async {
                match look_again {
                    Some(pause) => tokio::time::sleep(pause).await,
                    // The sender lives as long as `self`.
                    None => drop(progressed.changed().await),
                }
            };
            let is_late = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = again => {}
                () = is_late => return Waited::Behind,
            }
            pause = (pause * 2).min(LAST_LOOK);
        }
    }
}
