//! Creates generations.

use super::consumer::Consumer;
use super::shared::Shared;
use crate::projection::error::{ConsumerKind, StartError};
use crate::projection::store::ReadStore;
use crate::store::EventStore;
use crate::subscription::Start;
use crate::subscription::follow::Follow;
use crate::{Position, ReadError, StoreError, StoreErrorKind};

impl<S: ReadStore> Shared<S> {
    /// Creates a generation unless the live one fits.
    pub(in crate::projection) async fn build_if_missing(
        &self,
        consumer: &dyn Consumer<S>,
    ) -> Result<(), StartError> {
        let (kind, name) = (consumer.kind(), consumer.name());
        let record = self.read.inspect(Some(name)).await?.into_iter().next();
        let live = record.as_ref().and_then(|record| record.live());
        let (version, partitions) = (consumer.version(), consumer.options().partitions);
        let reason = match live {
            Some(live) if live.version > version => {
                tracing::warn!(
                    consumer = %name, %kind, live = live.version, version,
                    "consumer superseded by a later version"
                );
                return Ok(());
            }
            Some(live) if !live.intact => "tables are gone",
            Some(live) if live.version < version => "new version",
            Some(live) if live.partitions.len() != partitions as usize => {
                "new number of partitions"
            }
            Some(_) => return Ok(()),
            None => "new consumer",
        };
        let is_new = self.build(consumer).await?;
        match (kind, is_new) {
            (ConsumerKind::Projector, true) => {
                tracing::info!(consumer = %name, %kind, version, reason, "build started");
            }
            (ConsumerKind::Projector, false) => {
                tracing::info!(consumer = %name, %kind, version, reason, "build continues");
            }
            _ => tracing::info!(consumer = %name, %kind, version, reason, "catching up"),
        }
        Ok(())
    }

    /// Creates a generation and returns `true`, or returns `false` if one is being built already.
    pub(super) async fn build(&self, consumer: &dyn Consumer<S>) -> Result<bool, StartError> {
        let (name, partitions) = (consumer.name(), consumer.options().partitions);
        let after = position_of(&*self.events, consumer.start()).await?;
        let new = self.read.new_generation(name, consumer.version(), partitions, after).await?;
        let Some(mut new) = new else { return Ok(false) };
        consumer.create(&mut new.tx).await.map_err(|source| {
            let (kind, name) = (consumer.kind(), name.clone());
            StartError::Create { kind, name, source }
        })?;
        self.read.commit_new(new.tx).await?;
        Ok(true)
    }
}

/// Returns the checkpoint at which a new consumer starts.
async fn position_of(events: &dyn EventStore, start: Start) -> Result<Position, StoreError> {
    match start {
        Start::Origin => Ok(Position::START),
        Start::Now => events.head().await,
        Start::After(position) => Ok(position),
        Start::At(moment) => {
            let position = Follow::position_before(events, moment).await;
            position.map_err(|error| match error {
                ReadError::Store(error) => error,
                other => {
                    StoreError::new(StoreErrorKind::Internal, other.to_string()).with_source(other)
                }
            })
        }
    }
}
