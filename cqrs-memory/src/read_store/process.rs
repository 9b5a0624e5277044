//! `ProcessStore` for [`MemoryReadStore`]: one model holds all instances of a process.

use std::ops::Bound;
use std::sync::{Arc, MutexGuard, PoisonError};

use async_trait::async_trait;
use cqrs_core::process::{Instance, InstanceQuery, PendingWork, ProcessStore, Request};
use cqrs_core::{
    Timestamp,
    projection::ConsumerName,
    store::{StoreError, StoreErrorKind},
};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::MemoryReadStore;
use super::transaction::MemoryTransaction;

/// All instances of a process, with indexes of those that have pending work.
#[derive(Clone, Default)]
struct Instances {
    all: RedBlackTreeMapSync<String, Arc<Instance>>,
    /// Instances with commands to send, in the order in which they became busy.
    busy: RedBlackTreeMapSync<u64, String>,
    /// The keys of `busy` by instance.
    busy_keys: RedBlackTreeMapSync<String, u64>,
    last_busy_key: u64,
    /// The next timer of each instance.
    due: RedBlackTreeSetSync<(Timestamp, String)>,
}

impl Instances {
    fn store(&mut self, instance: &Instance) {
        let id = &instance.id;
        if let Some(due) = self.all.get(id).and_then(|old| old.next_due()) {
            self.due.remove_mut(&(due, id.clone()));
        }
        if let Some(due) = instance.next_due() {
            self.due.insert_mut((due, id.clone()));
        }
        match (self.busy_keys.get(id).copied(), instance.is_busy()) {
            (None, true) => {
                self.last_busy_key += 1;
                self.busy.insert_mut(self.last_busy_key, id.clone());
                self.busy_keys.insert_mut(id.clone(), self.last_busy_key);
            }
            (Some(key), false) => {
                self.busy.remove_mut(&key);
                self.busy_keys.remove_mut(id);
            }
            _ => {}
        }
        self.all.insert_mut(id.clone(), Arc::new(instance.clone()));
    }
}

impl MemoryReadStore {
    fn instances(&self, process: &ConsumerName) -> Option<Arc<Instances>> {
        self.view::<Instances>(process.as_str()).ok()?.get()
    }

    fn requests(&self) -> MutexGuard<'_, Vec<(ConsumerName, Request)>> {
        // Nothing panics under the lock, so it is never poisoned.
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn model(tx: &mut MemoryTransaction) -> Result<&mut Instances, StoreError> {
    tx.model().map_err(|error| {
        StoreError::new(
            StoreErrorKind::Internal,
            "the consumer is not a process: its models hold no instances",
        )
        .with_source(error)
    })
}

#[async_trait]
impl ProcessStore for MemoryReadStore {
    async fn create_process(&self, tx: &mut MemoryTransaction) -> Result<(), StoreError> {
        tx.put(Instances::default());
        Ok(())
    }

    async fn instances_in(
        &self,
        tx: &mut MemoryTransaction,
        ids: &[String],
    ) -> Result<Vec<Instance>, StoreError> {
        let model = model(tx)?;
        Ok(ids.iter().filter_map(|id| model.all.get(id)).map(|found| (**found).clone()).collect())
    }

    async fn keep(
        &self,
        tx: &mut MemoryTransaction,
        instances: &[Instance],
    ) -> Result<(), StoreError> {
        let model = model(tx)?;
        instances.iter().for_each(|instance| model.store(instance));
        Ok(())
    }

    async fn pending_work(
        &self,
        process: &ConsumerName,
        now: Timestamp,
        limit: usize,
    ) -> Result<PendingWork, StoreError> {
        let mut pending = PendingWork::default();
        let requests = self.requests().clone().into_iter();
        pending.requests =
            requests.filter(|(name, _)| name == process).map(|(_, request)| request).collect();
        let Some(model) = self.instances(process) else { return Ok(pending) };
        let busy = model.busy.values().take(limit).filter_map(|id| model.all.get(id));
        pending.busy = busy.map(|instance| (**instance).clone()).collect();
        let due = model.due.iter().take_while(|(due, _)| *due <= now).take(limit);
        pending.due = due.map(|(_, id)| id.clone()).collect();
        pending.next_due = model.due.iter().map(|(due, _)| *due).find(|due| *due > now);
        Ok(pending)
    }

    async fn request(&self, process: &ConsumerName, request: &Request) -> Result<bool, StoreError> {
        let known = self.instances(process);
        if !known.is_some_and(|model| model.all.contains_key(&request.instance)) {
            return Ok(false);
        }
        self.requests().push((process.clone(), request.clone()));
        Ok(true)
    }

    async fn forget_requests(
        &self,
        process: &ConsumerName,
        requests: &[Request],
    ) -> Result<(), StoreError> {
        self.requests().retain(|(name, request)| name != process || !requests.contains(request));
        Ok(())
    }

    async fn list_instances(
        &self,
        process: &ConsumerName,
        query: &InstanceQuery,
    ) -> Result<Vec<Instance>, StoreError> {
        let Some(model) = self.instances(process) else { return Ok(Vec::new()) };
        let matches = |instance: &Arc<Instance>| {
            (!query.suspended || instance.is_suspended())
                && query.id.as_ref().is_none_or(|id| *id == instance.id)
        };
        let from = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = model.all.range::<String, _>((from, Bound::Unbounded));
        let found = found.map(|(_, instance)| instance).filter(|instance| matches(instance));
        Ok(found.take(query.limit).map(|instance| (**instance).clone()).collect())
    }
}
