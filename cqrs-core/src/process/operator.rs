//! Carries out the requests of operators.

use std::collections::HashSet;

use super::InstanceQuery;
use super::desk::{Desk, routes};
use super::manager::ProcessManager;
use super::outbox::{Ended, Outbox};
use super::records::{OperatorAction, Request};
use super::store::ProcessStore;
use crate::{Position, ReadError, Recorded};

/// The parts of one stored event.
type Parts<M> = Vec<Recorded<<M as ProcessManager>::Event>>;

impl<S: ProcessStore, M: ProcessManager> Outbox<S, M> {
    /// Carries out requests. Returns `true` if there was at least one that could be carried out.
    /// Requests about instances with commands in flight are left for later.
    pub(super) async fn carry_out(
        &self,
        requests: &[Request],
        in_flight: &HashSet<String>,
        requested: &mut HashSet<String>,
    ) -> Result<bool, Ended> {
        let mut any = false;
        for request in requests.iter().filter(|request| !in_flight.contains(&request.instance)) {
            let carried_out = match request.action {
                OperatorAction::End => {
                    let id = request.instance.clone();
                    self.change(std::slice::from_ref(&id), |desk| desk.end(&id)).await?;
                    Ok(())
                }
                OperatorAction::Retry => self.retry(&request.instance).await?,
            };
            let process = &self.lease.partition.consumer;
            let forgotten = match carried_out {
                Ok(()) => {
                    let done = std::slice::from_ref(request);
                    self.shared.read.forget_requests(process, done).await.map_err(ReadError::from)
                }
                Err(error) => Err(error),
            };
            match forgotten {
                Ok(()) => {
                    requested.remove(&request.instance);
                    any = true;
                }
                Err(error) => tracing::warn!(
                    %process, instance = request.instance, %error, "operator request failed"
                ),
            }
        }
        Ok(any)
    }

    /// Resumes an instance and handles its waiting events.
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
                        Some((_, parts)) if !desk.handle_waiting(id, parts) => break,
                        Some(_) => {}
                        None => desk.skip_waiting(id, *position),
                    }
                }
                // More events arrived since the waiting ones were read.
                let more = desk.has_waiting(id);
                if more {
                    desk.suspend_id(id, "is being retried".to_owned());
                }
                more
            };
            if !self.change(std::slice::from_ref(id), work).await? {
                return Ok(Ok(()));
            }
        }
    }

    /// Reads the waiting events of an instance.
    async fn waiting(&self, id: &str) -> Result<Vec<(Position, Parts<M>)>, ReadError> {
        let process = &self.lease.partition.consumer;
        let query = InstanceQuery::page().id(id);
        let found = self.shared.read.list_instances(process, &query).await?;
        let mut events = Vec::new();
        for position in found.iter().flat_map(|instance| &instance.waiting) {
            events.push((*position, self.shared.read_one::<M::Event>(*position).await?));
        }
        Ok(events)
    }
}
