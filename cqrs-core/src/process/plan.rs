//! A command at a moment: an aggregate of its own, so that of a cancellation and the moment itself
//! one comes first for everybody.

use serde::{Deserialize, Serialize};

use super::destinations::Destinations;
use super::effects::{Effects, Rejected, Timeout};
use super::manager::{ProcessManager, Route};
use crate::app::DispatchError;
use crate::store::EventStore;
use crate::{
    Aggregate, App, Append, AppendError, Command, DecodeFailure, Event, EventType, ExpectedVersion,
    InvalidName, NewEvent, Payload, PayloadError, Recorded, StreamName, Timestamp,
};

/// A command that is to be sent at a moment.
#[derive(Debug)]
pub struct Plan {
    id: String,
    due: Timestamp,
    category: &'static str,
    command: Result<Payload, PayloadError>,
}

impl Plan {
    /// A command, to be sent then or later, under an id that no other plan has.
    pub fn new<C: Command>(id: impl Into<String>, due: Timestamp, command: C) -> Self {
        let command: <C::Aggregate as Aggregate>::Command = command.into();
        let (id, command) = (id.into(), Payload::encode(&command));
        Self { id, due, category: C::Aggregate::CATEGORY, command }
    }
}

/// Plans commands for later. They are sent by the [`Processes`](super::Processes) of the
/// application, whichever node that is, if
/// [`planned_commands`](super::ProcessesBuilder::planned_commands) is among them: once, then or
/// later, also after a restart. One that is refused waits for an operator as the instance of its
/// id in the process `planned_commands`.
#[derive(Clone, Debug)]
pub struct Planner {
    app: App,
}

impl Planner {
    /// Over an application.
    #[must_use]
    pub const fn new(app: App) -> Self {
        Self { app }
    }

    /// Plans a command.
    ///
    /// # Errors
    /// [`PlanError`].
    pub async fn plan(&self, plan: Plan) -> Result<(), PlanError> {
        self.plan_all([plan]).await
    }

    /// Plans several commands, or none of them.
    ///
    /// # Errors
    /// [`PlanError`].
    pub async fn plan_all(&self, plans: impl IntoIterator<Item = Plan>) -> Result<(), PlanError> {
        let mut append = Append::empty();
        for Plan { id, due, category, command } in plans {
            let stream = StreamName::of(Planned::CATEGORY, &id);
            let stream = stream.map_err(|source| PlanError::InvalidId { source })?;
            let command = command.map_err(PlanError::Unstorable)?.as_str().to_owned();
            let event = PlannedEvent::Planned { id, due, category: category.to_owned(), command };
            let event = NewEvent::of(&event).map_err(PlanError::Unstorable)?;
            append = append.and_to(stream, ExpectedVersion::NoStream, vec![event]);
        }
        if append.streams.is_empty() {
            return Ok(());
        }
        match self.app.store().append(append).await {
            Ok(_) => Ok(()),
            Err(AppendError::Conflict(conflict)) => Err(PlanError::AlreadyPlanned {
                id: conflict.stream.id().unwrap_or_default().to_owned(),
            }),
            Err(error) => Err(PlanError::Append(error)),
        }
    }

    /// Cancels a plan: it is not sent, unless it was due already.
    ///
    /// # Errors
    /// A [`DispatchError`]; refused as [`NotCancelled`] when there is nothing to cancel.
    pub async fn cancel(&self, id: impl Into<String>) -> Result<(), DispatchError<NotCancelled>> {
        self.app.dispatch(ChangePlan::Cancel { id: id.into() }).await?;
        Ok(())
    }
}

/// Why a plan was not accepted. Nothing was planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is, or was, a plan of this id.
    #[error("`{id}` is planned already")]
    AlreadyPlanned {
        /// The id.
        id: String,
    },
    /// The id cannot be part of a stream's name.
    #[error("the plan's id is refused")]
    InvalidId {
        /// Why.
        #[source]
        source: InvalidName,
    },
    /// The command cannot be stored.
    #[error("the command cannot be stored")]
    Unstorable(#[source] PayloadError),
    /// The store is in trouble. When the answer got lost, planning again tells: what was stored is
    /// planned already.
    #[error("the plan was not stored")]
    Append(#[source] AppendError),
}

/// Why a plan cannot be cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCancelled {
    /// There is none of this id.
    #[error("there is no such plan")]
    NotPlanned,
    /// It was cancelled before.
    #[error("the plan was cancelled before")]
    AlreadyCancelled,
    /// Its moment has come: it is being sent.
    #[error("the plan is due already")]
    AlreadyDue,
}

/// A planned command: of its moment and its cancellation one comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Planned {
    #[default]
    Unknown,
    Waiting,
    Cancelled,
    Due,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ChangePlan {
    Cancel { id: String },
    Send { id: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum PlannedEvent {
    /// The command is text, so that not a byte of it changes.
    Planned {
        id: String,
        due: Timestamp,
        category: String,
        command: String,
    },
    Cancelled {
        id: String,
    },
    Due {
        id: String,
    },
}

impl Command for ChangePlan {
    type Aggregate = Planned;

    fn aggregate_id(&self) -> String {
        let (Self::Cancel { id } | Self::Send { id }) = self;
        id.clone()
    }
}

const PLANNED: EventType = EventType::new("cqrs.command-planned", 1);
const CANCELLED: EventType = EventType::new("cqrs.planned-command-cancelled", 1);
const DUE: EventType = EventType::new("cqrs.planned-command-due", 1);

impl Event for PlannedEvent {
    const TYPES: &'static [EventType] = &[PLANNED, CANCELLED, DUE];

    fn event_type(&self) -> EventType {
        match self {
            Self::Planned { .. } => PLANNED,
            Self::Cancelled { .. } => CANCELLED,
            Self::Due { .. } => DUE,
        }
    }

    fn encode(&self) -> Result<Payload, PayloadError> {
        Payload::encode(self)
    }

    fn decode(_: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
        Ok(payload.decode()?)
    }
}

impl Aggregate for Planned {
    const CATEGORY: &'static str = "cqrs_plan";
    type Id = String;
    type Command = ChangePlan;
    type Event = PlannedEvent;
    type Error = NotCancelled;

    fn execute(&self, command: ChangePlan) -> Result<Vec<PlannedEvent>, NotCancelled> {
        match (self, command) {
            (Self::Unknown, _) => Err(NotCancelled::NotPlanned),
            (Self::Cancelled, _) => Err(NotCancelled::AlreadyCancelled),
            (Self::Due, _) => Err(NotCancelled::AlreadyDue),
            (Self::Waiting, ChangePlan::Cancel { id }) => Ok(vec![PlannedEvent::Cancelled { id }]),
            (Self::Waiting, ChangePlan::Send { id }) => Ok(vec![PlannedEvent::Due { id }]),
        }
    }

    fn apply(&mut self, event: &PlannedEvent) {
        *self = match event {
            PlannedEvent::Planned { .. } => Self::Waiting,
            PlannedEvent::Cancelled { .. } => Self::Cancelled,
            PlannedEvent::Due { .. } => Self::Due,
        };
    }
}

/// Sends planned commands.
pub(super) struct PlannedCommands {
    pub(super) destinations: Destinations,
}

/// What is to be sent: the aggregate's category and the command.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    category: String,
    command: String,
}

impl ProcessManager for PlannedCommands {
    type Event = PlannedEvent;
    type State = Content;
    const NAME: &'static str = "planned_commands";

    fn destinations(&self) -> Destinations {
        self.destinations.clone().to::<Planned>()
    }

    fn route(&self, event: &Recorded<PlannedEvent>) -> Vec<Route> {
        vec![match &event.event {
            PlannedEvent::Planned { id, .. } => Route::start(id),
            PlannedEvent::Cancelled { id } | PlannedEvent::Due { id } => Route::end(id),
        }]
    }

    fn apply(&self, content: &mut Content, event: &Recorded<PlannedEvent>) {
        if let PlannedEvent::Planned { category, command, .. } = &event.event {
            *content = Content { category: category.clone(), command: command.clone() };
        }
    }

    fn react(&self, content: &Content, event: &Recorded<PlannedEvent>) -> Effects {
        match &event.event {
            PlannedEvent::Planned { id, due, .. } => Effects::none().start_timer_at(id, *due),
            PlannedEvent::Cancelled { .. } => Effects::none(),
            PlannedEvent::Due { .. } => {
                let command = Payload::from_stored(content.command.clone());
                Effects::none().dispatch_stored(content.category.clone(), command)
            }
        }
    }

    fn on_timeout(&self, _: &mut Content, timeout: &Timeout) -> Effects {
        Effects::none().dispatch(ChangePlan::Send { id: timeout.name().to_owned() })
    }

    fn on_rejected(&self, _: &mut Content, rejected: &Rejected) -> Effects {
        match rejected.error::<NotCancelled>() {
            // The cancellation came first.
            Some(_) => Effects::none(),
            None => Effects::none().attention(rejected.reason()),
        }
    }
}
