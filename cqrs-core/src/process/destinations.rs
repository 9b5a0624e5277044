//! Where the commands of a process go.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::records::OutgoingCommand;
use crate::{Aggregate, App, Command, DispatchError, Metadata, Retry};

/// The aggregates that a process sends commands to, so that a command read back from the store
/// finds its way.
#[derive(Clone, Default)]
pub struct Destinations {
    known: BTreeMap<&'static str, Arc<dyn Destination>>,
}

impl Destinations {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    #[must_use]
    pub fn to<A: Aggregate>(mut self) -> Self
    where
        A::Command: Command<Aggregate = A>,
    {
        self.known.insert(A::CATEGORY, Arc::new(To::<A>(PhantomData)));
        self
    }

    pub(super) fn has(&self, category: &str) -> bool {
        self.known.contains_key(category)
    }

    /// Sends a command. `Ok` when it is accepted, now or before.
    pub(super) async fn send(
        &self,
        app: &App,
        actor: &str,
        command: &OutgoingCommand,
        deadline: Duration,
    ) -> Result<(), Unsent> {
        match self.known.get(&*command.category) {
            Some(destination) => destination.send(app, actor, command, deadline).await,
            None => {
                let reason = format!("`{}` is not among the destinations", command.category);
                Err(Unsent::Failed { reason, retry: Retry::Never })
            }
        }
    }
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

/// Why a command did not take effect.
pub(super) enum Unsent {
    /// Its aggregate, or a hook in front of it, said no.
    Refused { reason: String },
    /// Nobody knows whether it would.
    Failed { reason: String, retry: Retry },
}

#[async_trait]
trait Destination: Send + Sync {
    async fn send(
        &self,
        app: &App,
        actor: &str,
        command: &OutgoingCommand,
        deadline: Duration,
    ) -> Result<(), Unsent>;
}

struct To<A>(PhantomData<fn() -> A>);

#[async_trait]
impl<A: Aggregate> Destination for To<A>
where
    A::Command: Command<Aggregate = A>,
{
    async fn send(
        &self,
        app: &App,
        actor: &str,
        outgoing: &OutgoingCommand,
        deadline: Duration,
    ) -> Result<(), Unsent> {
        let command: A::Command = match outgoing.command.decode() {
            Ok(command) => command,
            Err(error) => {
                let reason = format!("the command cannot be read: {error}");
                return Err(Unsent::Failed { reason, retry: Retry::Never });
            }
        };
        let mut metadata =
            Metadata::default().with_causation_id(outgoing.causation_id).with_actor(actor);
        metadata.correlation_id = outgoing.correlation_id;
        let dispatch = app.dispatch(command).command_id(outgoing.id).metadata(metadata);
        match dispatch.deadline(deadline).await {
            Ok(_) => Ok(()),
            Err(DispatchError::Refused(error)) => {
                Err(Unsent::Refused { reason: error.to_string() })
            }
            Err(DispatchError::Denied(denial)) => Err(Unsent::Refused { reason: denial.reason }),
            Err(error) => {
                let retry = error.retry();
                Err(Unsent::Failed { reason: crate::projection::chain(&error), retry })
            }
        }
    }
}
