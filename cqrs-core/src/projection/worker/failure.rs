//! Reports failures and decides when to retry.

use std::time::Duration;

use backon::ExponentialBackoff;

use super::{Ended, Worker};
use crate::failures::{error_chain, pauses};
use crate::projection::policy::FailureAction;
use crate::projection::projector::Projector;
use crate::projection::runtime::status::Activity;
use crate::projection::store::{Failure, ReadStore};
use crate::{DecodeError, Position, ReadError, Recorded, Retry, StoreError};

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    pub(super) async fn log_failed(&mut self, error: &ReadError) -> Result<(), Ended> {
        let position = self.cursor();
        let stopped = error.retry() == Retry::Never;
        let failure = Failure { position, error: error_chain(error), attempts: 1, stopped };
        tracing::warn!(partition = %self.lease.partition, error = %failure.error, "reading the log failed");
        if stopped {
            return self.stop_at(failure).await;
        }
        self.status.inner().failure = Some(failure);
        self.show(Activity::Retrying);
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
            return self.stop_at(failure).await;
        }
        tracing::warn!(partition = %self.lease.partition, %error, "read store failed");
        {
            let mut inner = self.status.inner();
            let (position, error) = (inner.cursor, error_chain(error));
            inner.activity = Activity::Retrying;
            inner.failure = Some(Failure { position, error, attempts: 1, stopped: false });
        }
        self.pause(backoff.next().unwrap_or(LONGEST_PAUSE)).await
    }

    /// Handles a failure of the projector. Returns `true` if the events have to be read again, and
    /// `false` to retry them.
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
        tracing::error!(partition = %self.lease.partition, %position, attempts, error, "event failed");
        let mut failure = Failure { position, error, attempts, stopped: false };
        if attempts <= policy.retries {
            self.report(&failure).await?;
            self.show(Activity::Retrying);
            self.pause(backoff.next().unwrap_or(policy.longest_pause)).await?;
            return Ok(false);
        }
        match policy.action {
            FailureAction::Stop => {
                failure.stopped = true;
                self.stop_at(failure).await?;
            }
            FailureAction::Park => {
                let key = self.keys.key(event).into_owned();
                self.park(key, failure, through).await?;
            }
        }
        Ok(true)
    }

    pub(super) async fn undecodable(&mut self, error: DecodeError) -> Result<(), Ended> {
        let (position, key) = (error.position, error.stream.as_str().to_owned());
        if !self.keys.contains_undecodable(&error) {
            // Every partition reads it, and only one handles it.
            self.done(0, position);
            return Ok(());
        }
        let error = error_chain(&error);
        tracing::error!(partition = %self.lease.partition, %position, error, "event cannot be decoded");
        let failure = Failure { position, error, attempts: 1, stopped: true };
        match self.options.on_failure.undecodable {
            FailureAction::Stop => self.stop_at(failure).await,
            FailureAction::Park => self.park(key, failure, position).await,
        }
    }

    /// Records a failure. Ends if the lease is lost, which may be its cause.
    pub(super) async fn report(&mut self, failure: &Failure) -> Result<(), Ended> {
        let reported = self.shared.read.report(&self.lease, Some(failure)).await;
        // Shown only after it is recorded: anyone who sees it may resume at once, which clears the
        // record.
        self.status.inner().failure = Some(failure.clone());
        match reported {
            Ok(true) => Ok(()),
            Ok(false) => Err(Ended),
            Err(error) => {
                tracing::warn!(partition = %self.lease.partition, %error, "recording failure failed");
                Ok(())
            }
        }
    }

    pub(super) async fn clear_report(&mut self) {
        self.status.inner().failure = None;
        if let Err(error) = self.shared.read.report(&self.lease, None).await {
            tracing::warn!(partition = %self.lease.partition, %error, "clearing failure failed");
        }
    }

    /// Reports a failure and waits until an operator resumes the consumer.
    pub(super) async fn stop_at(&mut self, failure: Failure) -> Result<(), Ended> {
        tracing::error!(
            partition = %self.lease.partition, position = %failure.position,
            error = failure.error, "partition stopped"
        );
        self.report(&failure).await?;
        self.show(Activity::Stopped);
        // Earlier heartbeats do not include the report.
        let before = self.shared.last_heartbeat();
        loop {
            let control = *self.control.borrow_and_update();
            if control.stop {
                break;
            }
            if control.heartbeat > before && !control.stopped && !control.paused {
                break;
            }
            self.changed().await?;
        }
        self.status.inner().failure = None;
        self.show(Activity::CatchingUp);
        self.reader.reset();
        Ok(())
    }
}

/// The longest pause while a read store fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) fn store_pauses() -> ExponentialBackoff {
    pauses(Duration::from_millis(50), LONGEST_PAUSE)
}
