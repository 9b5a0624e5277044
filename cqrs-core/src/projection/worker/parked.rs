//! Events put aside: where they wait, and how they are tried again.

use std::collections::HashSet;

use super::failure::store_pauses;
use super::{Ended, Failed, Worker};
use crate::failures::error_chain;
use crate::projection::projector::Projector;
use crate::projection::read_store::ReadStore;
use crate::projection::records::{Failure, ParkedEvent};
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

    /// Parks an event and goes on behind it.
    pub(super) async fn put_aside(
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
        tracing::error!(partition = %self.lease.partition, position = %entry.position, key, "parked");
        self.parked.insert(key);
        self.done(1, through);
        self.clear_report().await;
        Ok(())
    }

    pub(super) async fn load_parked(&mut self) -> Result<(), Ended> {
        let entries = self.parked_entries().await?;
        let waiting = entries.into_iter().filter(|entry| entry.discarded.is_none());
        self.parked = waiting.map(|entry| entry.key).collect();
        Ok(())
    }

    /// What is put aside, in order.
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

    /// Tries what is put aside again, each key in order, until an event of the key fails.
    pub(super) async fn retry_parked(&mut self) -> Result<(), Ended> {
        let entries = self.parked_entries().await?;
        let asked: HashSet<String> = entries
            .iter()
            .filter(|entry| entry.retry_requested)
            .map(|entry| entry.key.clone())
            .collect();
        let mut failed: HashSet<String> = HashSet::new();
        for entry in entries.iter().filter(|entry| entry.discarded.is_none()) {
            if !asked.contains(&entry.key) || failed.contains(&entry.key) {
                continue;
            }
            if self.is_interrupted() {
                return Ok(());
            }
            match self.retry_one(entry).await {
                Ok(()) => {}
                Err(Failed::Ended) => return Err(Ended),
                // Asked for still, so it is tried at the next heartbeat.
                Err(Failed::Store(_)) => return Ok(()),
                Err(Failed::Projector(error)) => {
                    failed.insert(entry.key.clone());
                    let (position, error) = (entry.position, error_chain(&*error));
                    let attempts = entry.attempts.saturating_add(1);
                    let failure = Failure { position, error, attempts, stopped: false };
                    self.note_retry(&entry.key, Some(&failure)).await;
                }
            }
        }
        for key in asked.difference(&failed) {
            self.note_retry(key, None).await;
        }
        // A key whose events are all gone waits no longer; also one whose last was discarded.
        self.load_parked().await
    }

    async fn note_retry(&mut self, key: &str, failed: Option<&Failure>) {
        if let Err(error) = self.shared.read.retried(&self.lease, key, failed).await {
            tracing::warn!(partition = %self.lease.partition, key, %error, "retry not on record");
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
        self.tell(&events);
        self.shared.progressed.send_modify(|count| *count += 1);
        Ok(())
    }
}
