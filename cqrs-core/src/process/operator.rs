//! What operators ask for.

use std::collections::HashSet;

use super::InstanceQuery;
use super::desk::{Desk, routes};
use super::manager::ProcessManager;
use super::outbox::{Ended, Outbox};
use super::records::{OperatorAction, Request};
use super::store::ProcessStore;
use crate::{Position, ReadError, Recorded};

/// What was stored as one event.
type Parts<M> = Vec<Recorded<<M as ProcessManager>::Event>>;

impl<S: ProcessStore, M: ProcessManager> Outbox<S, M> {
    /// Does what operators ask for, and says whether it did something. What is on its way is left
    /// until it has landed.
    pub(super) async fn hear(
        &self,
        requests: &[Request],
        flying: &HashSet<String>,
        asked: &mut HashSet<String>,
    ) -> Result<bool, Ended> {
        let mut done_some = false;
        for request in requests.iter().filter(|request| !flying.contains(&request.instance)) {
            let heard = match request.action {
                OperatorAction::End => {
                    let id = request.instance.clone();
                    self.settle(std::slice::from_ref(&id), |desk| desk.end(&id)).await?;
                    Ok(())
                }
                OperatorAction::Retry => self.retry(&request.instance).await?,
            };
            let process = &self.lease.partition.consumer;
            let forgotten = match heard {
                Ok(()) => {
                    let done = std::slice::from_ref(request);
                    self.shared.read.forget_requests(process, done).await.map_err(ReadError::from)
                }
                Err(error) => Err(error),
            };
            match forgotten {
                Ok(()) => {
                    asked.remove(&request.instance);
                    done_some = true;
                }
                Err(error) => tracing::warn!(
                    instance = request.instance, %error, "asked for, and not done yet"
                ),
            }
        }
        Ok(done_some)
    }

    /// The instance goes on, and takes in the events that wait.
    async fn retry(&self, id: &String) -> Result<Result<(), ReadError>, Ended> {
        loop {
            let events = match self.waiting(id).await {
                Ok(events) => events,
                Err(error) => return Ok(Err(error)),
            };
            let work = |desk: &mut Desk<'_, M>| {
                desk.resume(id);
                for (position, parts) in &events {
                    let routed = routes(&*self.manager, parts);
                    match routed.iter().find(|(instance, _)| instance == id) {
                        Some((_, parts)) if !desk.take_in_waiting(id, parts) => break,
                        Some(_) => {}
                        None => desk.skip_waiting(id, *position),
                    }
                }
                // More has come since they were read.
                let came_late = desk.has_waiting(id);
                if came_late {
                    desk.give_up(id, "is being retried".to_owned());
                }
                came_late
            };
            if !self.settle(std::slice::from_ref(id), work).await? {
                return Ok(Ok(()));
            }
        }
    }

    /// The events that an instance has yet to take in.
    async fn waiting(&self, id: &str) -> Result<Vec<(Position, Parts<M>)>, ReadError> {
        let process = &self.lease.partition.consumer;
        let query = InstanceQuery::one(id);
        let found = self.shared.read.list_instances(process, &query).await?;
        let mut events = Vec::new();
        for position in found.iter().flat_map(|instance| &instance.waiting) {
            events.push((*position, self.shared.read_one::<M::Event>(*position).await?));
        }
        Ok(events)
    }
}
