//! Runs a process manager as a projector, so that processes and read models share partitions,
//! leases and checkpoints.

use std::sync::{Arc, Mutex, PoisonError};

use super::desk::{Desk, routes};
use super::destinations::Destinations;
use super::effects::Effects;
use super::exchange::{Changed, Exchange};
use super::manager::ProcessManager;
use super::store::ProcessStore;
use crate::event::as_stored;
use crate::projection::{ProjectError, Projector, ReadModel};
use crate::{App, Clock, Metadata, Recorded, Timestamp};

/// See [`ProcessProjector::first`].
pub(super) type First = (&'static str, Box<dyn Fn(Timestamp) -> Effects + Send + Sync>);

pub(super) struct ProcessProjector<S, M> {
    pub(super) app: App,
    pub(super) manager: Arc<M>,
    pub(super) destinations: Arc<Destinations>,
    pub(super) store: S,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) exchange: Arc<Exchange>,
    /// An instance that exists without an event, and its first effects.
    pub(super) first: Option<First>,
    /// The changes of the last transaction, until it is committed.
    pub(super) changed: Mutex<Changed>,
}

impl<S: ProcessStore, M: ProcessManager> ReadModel for ProcessProjector<S, M> {
    type Event = M::Event;
    const NAME: &'static str = M::NAME;
    // Instances are never rebuilt; their states are upcast.
    const VERSION: u32 = 1;
}

impl<S: ProcessStore, M: ProcessManager> Projector<S> for ProcessProjector<S, M> {
    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError> {
        self.store.create_process(tx).await?;
        if let Some((id, effects)) = &self.first {
            let (now, propagated) =
                (self.clock.now(), |cause: &Metadata| self.app.propagated(cause));
            let destinations = &*self.destinations;
            let mut desk = Desk::new(&*self.manager, destinations, &propagated, now, Vec::new());
            desk.start_without_event(id, effects);
            self.store.keep(tx, &desk.finish()).await?;
        }
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut S::Transaction,
        event: &Recorded<M::Event>,
    ) -> Result<(), ProjectError> {
        self.project_batch(tx, std::slice::from_ref(event)).await
    }

    async fn project_batch(
        &self,
        tx: &mut S::Transaction,
        events: &[Recorded<M::Event>],
    ) -> Result<(), ProjectError> {
        let routed: Vec<_> = as_stored(events).map(|parts| routes(&*self.manager, parts)).collect();
        let mut ids: Vec<String> = routed.iter().flatten().map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Changed::default();
        if ids.is_empty() {
            return Ok(());
        }
        let instances = self.store.instances_in(tx, &ids).await?;
        let now = self.clock.now();
        let (number, recorded) = (self.exchange.number(), self.exchange.accepted(&ids));
        let instances = {
            let propagated = |cause: &Metadata| self.app.propagated(cause);
            let destinations = &*self.destinations;
            let mut desk = Desk::new(&*self.manager, destinations, &propagated, now, instances);
            desk.accepted(&recorded);
            for (id, parts) in routed.iter().flatten() {
                desk.handle_event(id, parts);
            }
            desk.finish()
        };
        self.store.keep(tx, &instances).await?;
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) =
            Changed { number, instances, recorded };
        Ok(())
    }

    fn committed(&self, _: &[Recorded<M::Event>]) {
        let changed = self.changed.lock();
        let changed = std::mem::take(&mut *changed.unwrap_or_else(PoisonError::into_inner));
        if changed.number > 0 {
            self.exchange.committed(changed);
        }
    }
}
