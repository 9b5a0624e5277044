//! Parks events and retries them.

use std::collections::HashSet;

use super::failure::store_pauses;
use super::{Ended, Failed, Worker};
use crate::failures::error_chain;
use crate::projection::projector::Projector;
use crate::projection::store::{Failure, ParkedEvent, ReadStore};
use crate::{Position, ReadError};

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    pub(super) fn entry(
        &self,
        position: Position,
        key: String,
        error: Option<String>,
        attempts: u32,
    ) -> ParkedEvent {
        ParkedEvent {
            position,
            key,
            error,
            attempts,
            parked_at: self.shared.clock.now(),
            retry_requested: false,
            discarded: None,
        }
    }

    /// Parks an event and continues after it.
    pub(super) async fn park(
        &mut self,
        key: String,
        failure: Failure,
        through: Position,
    ) -> Result<(), Ended> {
        let entry =
            self.entry(failure.position, key.clone(), Some(failure.error), failure.attempts);
        let read = self.shared.read.clone();
        let mut backoff = store_pauses();
        loop {
            let parked = async {
                let mut tx = read.begin(&self.lease).await?;
                read.park(&mut tx, &self.lease, &entry).await.map_err(Failed::Store)?;
                self.commit(tx, through).await
            };
            match parked.await {
                Ok(()) => break,
                Err(Failed::Store(error)) => self.store_failed(&error, &mut backoff).await?,
                Err(_) => return Err(Ended),
            }
            if self.is_interrupted() {
                return Ok(());
            }
        }
        tracing::error!(partition = %self.lease.partition, position = %entry.position, key, "event parked");
        self.parked.insert(key);
        self.done(1, through);
        self.clear_report().await;
        Ok(())
    }

    pub(super) async fn load_parked(&mut self) -> Result<(), Ended> {
        let entries = self.parked_entries().await?;
        let parked = entries.into_iter().filter(|entry| entry.discarded.is_none());
        self.parked = parked.map(|entry| entry.key).collect();
        Ok(())
    }

    /// Returns the parked events in order.
    async fn parked_entries(&mut self) -> Result<Vec<ParkedEvent>, Ended> {
        let read = self.shared.read.clone();
        let mut backoff = store_pauses();
        loop {
            let partition = &self.lease.partition;
            let (projector, generation) = (&partition.consumer, partition.generation);
            match read.parked(projector, generation, Some(partition.number)).await {
                Ok(entries) => return Ok(entries),
                Err(error) => self.store_failed(&error, &mut backoff).await?,
            }
            if self.is_interrupted() {
                return Err(Ended);
            }
        }
    }

    /// Retries the requested keys, each in order until one of its events fails.
    pub(super) async fn retry_parked(&mut self) -> Result<(), Ended> {
        let entries = self.parked_entries().await?;
        let requested: HashSet<String> = entries
            .iter()
            .filter(|entry| entry.retry_requested)
            .map(|entry| entry.key.clone())
            .collect();
        let mut failed: HashSet<String> = HashSet::new();
        for entry in entries.iter().filter(|entry| entry.discarded.is_none()) {
            if !requested.contains(&entry.key) || failed.contains(&entry.key) {
                continue;
            }
            if self.is_interrupted() {
                return Ok(());
            }
            match self.retry_one(entry).await {
                Ok(()) => {}
                Err(Failed::Ended) => return Err(Ended),
                // Still requested, so the next heartbeat retries it.
                Err(Failed::Store(_)) => return Ok(()),
                Err(Failed::Projector(error)) => {
                    failed.insert(entry.key.clone());
                    let (position, error) = (entry.position, error_chain(&*error));
                    let attempts = entry.attempts.saturating_add(1);
                    let failure = Failure { position, error, attempts, stopped: false };
                    self.record_retry(&entry.key, Some(&failure)).await;
                }
            }
        }
        for key in requested.difference(&failed) {
            self.record_retry(key, None).await;
        }
        // A key without parked events is free again, even if its last one was discarded.
        self.load_parked().await
    }

    async fn record_retry(&mut self, key: &str, failed: Option<&Failure>) {
        if let Err(error) = self.shared.read.retried(&self.lease, key, failed).await {
            tracing::warn!(partition = %self.lease.partition, key, %error, "recording retry failed");
        }
    }

    async fn retry_one(&mut self, entry: &ParkedEvent) -> Result<(), Failed> {
        let read = self.shared.read.clone();
        let events =
            self.shared.read_one::<P::Event>(entry.position).await.map_err(
                |error| match error {
                    ReadError::Store(error) => Failed::Store(error),
                    other => Failed::Projector(other.into()),
                },
            )?;
        let saved = self.status.inner().saved;
        self.prepare(&events).await?;
        let mut tx = read.begin(&self.lease).await?;
        self.project(&mut tx, &events).await?;
        read.unpark(&mut tx, &self.lease, entry.position).await.map_err(Failed::Store)?;
        self.commit(tx, saved).await?;
        self.notify_committed(&events);
        self.shared.progressed();
        Ok(())
    }
}
