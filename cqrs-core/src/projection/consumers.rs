//! What handles to running consumers have in common, whether they are projectors or processes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use tokio::sync::watch;

use super::error::{ConsumerKind, OperatorError, StartError, UnknownConsumer};
use super::health::Health;
use super::store::{ConsumerRecord, ParkedEvent};
use super::wait::{Positions, Waited, Waiter};
use crate::names::ConsumerName;
use crate::{Position, StoreError};

/// What handles ask of a running node, independent of the type of its read store.
#[async_trait]
pub(super) trait RunningNode: Positions {
    fn names(&self) -> Vec<ConsumerName>;
    /// Changes after each heartbeat and after each commit.
    fn progress(&self) -> watch::Receiver<u64>;
    /// Returns the position of the live generation, without a query.
    fn live_position(&self, name: &ConsumerName) -> Option<Position>;
    /// Returns `true` if a generation was created, and `false` if one is being built already.
    async fn rebuild(&self, name: &ConsumerName) -> Result<bool, StartError>;
    async fn cancel_rebuild(&self, name: &ConsumerName) -> Result<bool, StoreError>;
    async fn set_paused(&self, name: &ConsumerName, paused: bool) -> Result<bool, StoreError>;
    async fn record(&self, name: &ConsumerName) -> Result<Option<ConsumerRecord>, StoreError>;
    async fn health(&self) -> Result<Vec<Health>, OperatorError>;
    async fn parked(
        &self,
        name: &ConsumerName,
        generation: u64,
    ) -> Result<Vec<ParkedEvent>, StoreError>;
    async fn retry_parked(&self, name: &ConsumerName, key: Option<&str>)
    -> Result<u64, StoreError>;
    async fn discard_parked(
        &self,
        name: &ConsumerName,
        position: Position,
        reason: &str,
    ) -> Result<bool, StoreError>;
    /// Makes everything that waits for progress check again.
    fn wake(&self);
    fn stop(&self);
    fn is_stopping(&self) -> bool;
    fn has_stopped(&self) -> bool;
}

/// A handle to the consumers of a running node. When the last clone is dropped, they stop.
#[derive(Clone)]
pub(crate) struct Consumers {
    node: Arc<dyn RunningNode>,
    kind: ConsumerKind,
    _last: Arc<StopWithLast>,
}

/// Stops the node when the last handle is dropped.
struct StopWithLast(Arc<dyn RunningNode>);

impl Drop for StopWithLast {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl std::fmt::Debug for Consumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.node.names()).finish()
    }
}

impl Consumers {
    pub(super) fn new(node: Arc<dyn RunningNode>, kind: ConsumerKind) -> Self {
        Self { _last: Arc::new(StopWithLast(Arc::clone(&node))), node, kind }
    }

    pub(crate) fn find(&self, name: &str) -> Result<ConsumerName, UnknownConsumer> {
        let found = self.node.names().into_iter().find(|known| known.as_str() == name);
        found.ok_or_else(|| UnknownConsumer { kind: self.kind, name: name.to_owned() })
    }

    pub(crate) fn wake(&self) {
        self.node.wake();
    }

    pub(crate) async fn health(&self) -> Result<Vec<Health>, OperatorError> {
        self.node.health().await
    }

    pub(crate) fn waiter<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Waiter, UnknownConsumer> {
        let mut found: Vec<_> =
            names.into_iter().map(|name| self.find(name)).collect::<Result<_, _>>()?;
        if found.is_empty() {
            found = self.node.names();
        }
        let positions = Arc::clone(&self.node);
        Ok(Waiter::new(found, positions))
    }

    pub(crate) fn changes(
        &self,
        name: &str,
    ) -> Result<impl Stream<Item = Position> + Send + use<>, UnknownConsumer> {
        const LONGEST: Duration = Duration::from_secs(86_400);
        let waiter = self.waiter([name])?;
        let (name, handle) = (self.find(name)?, self.clone());
        let seen = self.node.live_position(&name).unwrap_or_default();
        let state = (waiter, handle, name, seen);
        Ok(futures_util::stream::unfold(state, |(waiter, handle, name, seen)| async move {
            loop {
                match waiter.wait(seen.next(), LONGEST).await {
                    Waited::CaughtUp => {
                        let now =
                            handle.node.live_position(&name).unwrap_or_default().max(seen.next());
                        return Some((now, (waiter, handle, name, now)));
                    }
                    Waited::Behind if handle.node.is_stopping() => return None,
                    Waited::Behind => {}
                    Waited::Rebuilding => tokio::time::sleep(Duration::from_millis(250)).await,
                }
            }
        }))
    }

    pub(super) async fn rebuild(&self, name: &ConsumerName) -> Result<bool, StartError> {
        self.node.rebuild(name).await
    }

    pub(super) async fn cancel_rebuild(&self, name: &str) -> Result<bool, OperatorError> {
        Ok(self.node.cancel_rebuild(&self.find(name)?).await?)
    }

    /// Waits until the consumer has a live generation and none that is being built.
    pub(crate) async fn wait_until_live(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<bool, OperatorError> {
        let name = self.find(name)?;
        let live = async {
            let mut progress = self.node.progress();
            loop {
                progress.borrow_and_update();
                let record = self.node.record(&name).await?;
                if record.is_some_and(|r| r.building().is_none() && r.live().is_some()) {
                    return Ok(true);
                }
                // A heartbeat brings the progress of other nodes. Limits the rate of queries.
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(progress.changed().await);
            }
        };
        tokio::time::timeout(within, live).await.unwrap_or(Ok(false))
    }

    pub(crate) async fn set_paused(&self, name: &str, paused: bool) -> Result<(), OperatorError> {
        self.node.set_paused(&self.find(name)?, paused).await?;
        Ok(())
    }

    pub(crate) async fn parked(&self, name: &str) -> Result<Vec<ParkedEvent>, OperatorError> {
        let name = self.find(name)?;
        let record = self.node.record(&name).await?;
        match record.as_ref().and_then(|record| record.live()) {
            Some(live) => Ok(self.node.parked(&name, live.number).await?),
            None => Ok(Vec::new()),
        }
    }

    pub(crate) async fn retry_parked(
        &self,
        name: &str,
        key: Option<&str>,
    ) -> Result<u64, OperatorError> {
        Ok(self.node.retry_parked(&self.find(name)?, key).await?)
    }

    pub(crate) async fn discard_parked(
        &self,
        name: &str,
        position: Position,
        reason: &str,
    ) -> Result<bool, OperatorError> {
        Ok(self.node.discard_parked(&self.find(name)?, position, reason).await?)
    }

    pub(crate) async fn stop(&self) {
        self.node.stop();
        let mut progress = self.node.progress();
        while !self.node.has_stopped() {
            drop(progress.changed().await);
        }
    }
}

/// Writes the methods that [`Projections`](crate::Projections) and
/// [`Processes`](crate::Processes) share. `$consumer` and `$consumers` name what they run.
macro_rules! consumer_operations {
    ($consumer:literal, $consumers:literal) => {
        /// Returns the health of every consumer, on all nodes.
        ///
        /// # Errors
        /// [`OperatorError`](crate::projection::OperatorError) if a store fails.
        pub async fn health(
            &self,
        ) -> Result<Vec<crate::projection::Health>, crate::projection::OperatorError> {
            self.consumers.health().await
        }

        #[doc = concat!("Returns a [`Waiter`](crate::projection::Waiter) for some ", $consumers,
            ", or for all if `names` is empty.")]
        ///
        /// # Errors
        #[doc = concat!("[`UnknownConsumer`](crate::projection::UnknownConsumer) if there is no ",
            $consumer, " of one of these names.")]
        pub fn waiter<'n>(
            &self,
            names: impl IntoIterator<Item = &'n str>,
        ) -> Result<crate::projection::Waiter, crate::projection::UnknownConsumer> {
            self.consumers.waiter(names)
        }

        #[doc = concat!("Waits until a ", $consumer,
            " has handled every event up to a position, at most for a duration.")]
        ///
        /// # Errors
        #[doc = concat!("[`UnknownConsumer`](crate::projection::UnknownConsumer) if there is no ",
            $consumer, " of this name.")]
        ///
        /// # Cancel safety
        /// Safe: dropping the future has no effect.
        pub async fn wait_for(
            &self,
            name: &str,
            position: crate::Position,
            within: std::time::Duration,
        ) -> Result<crate::projection::Waited, crate::projection::UnknownConsumer> {
            Ok(self.consumers.waiter([name])?.wait(position, within).await)
        }

        #[doc = concat!("Returns a stream of the positions that a ", $consumer,
            " reaches, on whichever node it runs.")]
        ///
        /// It yields after each commit of the live generation; commits in quick succession are
        /// combined into one item. Use it for pages that update themselves.
        ///
        /// # Errors
        #[doc = concat!("[`UnknownConsumer`](crate::projection::UnknownConsumer) if there is no ",
            $consumer, " of this name.")]
        pub fn changes(
            &self,
            name: &str,
        ) -> Result<
            impl futures_core::Stream<Item = crate::Position> + Send + use<>,
            crate::projection::UnknownConsumer,
        > {
            self.consumers.changes(name)
        }

        #[doc = concat!("Pauses a ", $consumer,
            " on all nodes until it is resumed. No event is lost: it continues from its checkpoint.")]
        ///
        /// # Errors
        #[doc = concat!("[`OperatorError`](crate::projection::OperatorError) if there is no ",
            $consumer, " of this name, or if the store fails.")]
        pub async fn pause(&self, name: &str) -> Result<(), crate::projection::OperatorError> {
            self.consumers.set_paused(name, true).await
        }

        #[doc = concat!("Resumes a ", $consumer, " that was paused, or that stopped after a failure.")]
        ///
        /// # Errors
        #[doc = concat!("[`OperatorError`](crate::projection::OperatorError) if there is no ",
            $consumer, " of this name, or if the store fails.")]
        pub async fn resume(&self, name: &str) -> Result<(), crate::projection::OperatorError> {
            self.consumers.set_paused(name, false).await
        }

        #[doc = concat!("Returns the events that a ", $consumer,
            " has parked, in the order of the log, including those that were discarded.")]
        ///
        /// # Errors
        #[doc = concat!("[`OperatorError`](crate::projection::OperatorError) if there is no ",
            $consumer, " of this name, or if the store fails.")]
        #[doc(alias = "dead letter")]
        pub async fn parked(
            &self,
            name: &str,
        ) -> Result<Vec<crate::projection::ParkedEvent>, crate::projection::OperatorError> {
            self.consumers.parked(name).await
        }

        /// Retries the parked events of a key in order, or those of all keys if `key` is `None`.
        /// Returns the number of events.
        ///
        /// The node that runs the partition retries them at its next heartbeat, so they are still
        /// parked when this returns.
        ///
        /// # Errors
        #[doc = concat!("[`OperatorError`](crate::projection::OperatorError) if there is no ",
            $consumer, " of this name, or if the store fails.")]
        pub async fn retry_parked(
            &self,
            name: &str,
            key: Option<&str>,
        ) -> Result<u64, crate::projection::OperatorError> {
            self.consumers.retry_parked(name, key).await
        }

        /// Discards a parked event for a reason that is stored with it, and retries the later ones
        /// of its key. Returns `true` if the event was parked.
        ///
        /// # Errors
        #[doc = concat!("[`OperatorError`](crate::projection::OperatorError) if there is no ",
            $consumer, " of this name, or if the store fails.")]
        pub async fn discard_parked(
            &self,
            name: &str,
            position: crate::Position,
            reason: &str,
        ) -> Result<bool, crate::projection::OperatorError> {
            self.consumers.discard_parked(name, position, reason).await
        }

        #[doc = concat!("Stops the ", $consumers,
            " of this program: finishes the current transactions, saves the checkpoints and \
            releases the leases, so that other nodes take over immediately.")]
        ///
        /// # Cancel safety
        /// Safe: they stop even if the future is dropped.
        pub async fn stop(&self) {
            self.consumers.stop().await;
        }
    };
}
pub(crate) use consumer_operations;
