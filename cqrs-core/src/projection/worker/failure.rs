//! What goes wrong, where it is shown, and when it is tried again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::ExponentialBackoff;

use super::{Ended, Worker};
use crate::failures::{error_chain, pauses};
use crate::projection::policy::Then;
use crate::projection::projector::Projector;
use crate::projection::read_store::ReadStore;
use crate::projection::records::Failure;
use crate::projection::share::partition_of;
use crate::projection::status::Doing;
use crate::{DecodeError, Position, ReadError, Recorded, Retry, StoreError};

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    pub(super) async fn log_failed(&mut self, error: &ReadError) -> Result<(), Ended> {
        let position = self.cursor();
        let stopped = error.retry() == Retry::Never;
        let failure = Failure { position, error: error_chain(error), attempts: 1, stopped };
        tracing::warn!(partition = %self.lease.partition, error = %failure.error, "log not read");
        if stopped {
            return self.stand_still(failure).await;
        }
        self.status.inner().failure = Some(failure);
        self.show(Doing::Retrying);
        self.pause(self.shared.poll_interval).await
    }

    pub(super) async fn store_failed(
        &mut self,
        error: &StoreError,
        backoff: &mut ExponentialBackoff,
    ) -> Result<(), Ended> {
        if error.retry() == Retry::Never {
            let position = self.cursor();
            let error = error_chain(error);
            let failure = Failure { position, error, attempts: 1, stopped: true };
            return self.stand_still(failure).await;
        }
        tracing::warn!(partition = %self.lease.partition, %error, "read store failed");
        {
            let mut inner = self.status.inner();
            let (position, error) = (inner.cursor, error_chain(error));
            inner.doing = Doing::Retrying;
            inner.failure = Some(Failure { position, error, attempts: 1, stopped: false });
        }
        self.pause(backoff.next().unwrap_or(LONGEST_PAUSE)).await
    }

    /// After a failure that is the projector's own. Says whether to read again.
    pub(super) async fn failed(
        &mut self,
        event: &Recorded<P::Event>,
        through: Position,
        error: String,
        attempts: u32,
        backoff: &mut ExponentialBackoff,
    ) -> Result<bool, Ended> {
        let policy = self.options.on_failure;
        let position = event.position;
        tracing::error!(partition = %self.lease.partition, %position, attempts, error, "failed");
        let mut failure = Failure { position, error, attempts, stopped: false };
        if attempts <= policy.retries {
            self.report(&failure).await?;
            self.show(Doing::Retrying);
            self.pause(backoff.next().unwrap_or(policy.longest_pause)).await?;
            return Ok(false);
        }
        match policy.then {
            Then::Stop => {
                failure.stopped = true;
                self.stand_still(failure).await?;
            }
            Then::Park => {
                let key = self.key(event).into_owned();
                self.put_aside(key, failure, through).await?;
            }
        }
        Ok(true)
    }

    pub(super) async fn undecodable(&mut self, error: DecodeError) -> Result<(), Ended> {
        let (position, key) = (error.position, error.stream.as_str().to_owned());
        if partition_of(&key, self.partitions) != self.lease.partition.number {
            // All partitions meet it; the one its stream belongs to takes care of it.
            self.done(0, position);
            return Ok(());
        }
        let error = error_chain(&error);
        tracing::error!(partition = %self.lease.partition, %position, error, "not decoded");
        let failure = Failure { position, error, attempts: 1, stopped: true };
        match self.options.on_failure.undecodable {
            Then::Stop => self.stand_still(failure).await,
            Then::Park => self.put_aside(key, failure, position).await,
        }
    }

    /// Puts failure on record. Ends when the lease is lost, which may be the failure's cause.
    pub(super) async fn report(&mut self, failure: &Failure) -> Result<(), Ended> {
        let reported = self.shared.read.report(&self.lease, Some(failure)).await;
        // Shown when it is on record and not before: who sees it may resume at once, and that
        // must find it there.
        self.status.inner().failure = Some(failure.clone());
        match reported {
            Ok(true) => Ok(()),
            Ok(false) => Err(Ended),
            Err(error) => {
                tracing::warn!(partition = %self.lease.partition, %error, "failure not on record");
                Ok(())
            }
        }
    }

    pub(super) async fn clear_report(&mut self) {
        self.status.inner().failure = None;
        if let Err(error) = self.shared.read.report(&self.lease, None).await {
            tracing::warn!(partition = %self.lease.partition, %error, "record not cleared");
        }
    }

    /// Shows the failure and waits until somebody resumes the projector.
    pub(super) async fn stand_still(&mut self, failure: Failure) -> Result<(), Ended> {
        tracing::error!(
            partition = %self.lease.partition, position = %failure.position,
            error = failure.error, "stands still"
        );
        self.report(&failure).await?;
        self.show(Doing::Stopped);
        // What the node learnt before the report says nothing about it.
        let before = self.shared.beat.load(Ordering::Acquire);
        loop {
            let control = *self.control.borrow_and_update();
            if control.stop {
                break;
            }
            if control.beat > before && !control.stopped && !control.paused {
                break;
            }
            self.changed().await?;
        }
        self.status.inner().failure = None;
        self.show(Doing::CatchingUp);
        self.reader.reset();
        Ok(())
    }
}

/// The longest pause while a read store is in failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) fn store_pauses() -> ExponentialBackoff {
    pauses(Duration::from_millis(50), LONGEST_PAUSE)
}
