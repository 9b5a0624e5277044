//! A command at a moment: an aggregate of its own, so that of a cancellation and the moment itself
//! one comes first for everybody.

use serde::{Deserialize, Serialize};

use super::destinations::Destinations;
use super::effects::{Effects, RejectedCommand, Timeout};
use super::manager::{ProcessManager, Route};
use crate::app::DispatchError;
use crate::store::EventStore;
use crate::{
    Aggregate, App, Append, AppendError, Command, DecodeFailure, Event, EventType, ExpectedVersion,
    InvalidName, NewEvent, Payload, PayloadError, Recorded, StreamName, Timestamp,
};

/// A command that is to be sent at a moment.
#[derive(Debug)]
pub struct ScheduledCommand {
    id: String,
    due: Timestamp,
    category: &'static str,
    command: Result<Payload, PayloadError>,
}

impl ScheduledCommand {
    /// A command, to be sent then or later, under an id that no other plan has.
    pub fn new<C: Command>(id: impl Into<String>, due: Timestamp, command: C) -> Self {
        let command: <C::Aggregate as Aggregate>::Command = command.into_command();
        let (id, command) = (id.into(), Payload::encode(&command));
        Self { id, due, category: C::Aggregate::CATEGORY, command }
    }
}

/// Plans commands for later. They are sent by the [`Processes`](super::Processes) of the
/// application, whichever node that is, if
/// [`scheduled_commands`](super::ProcessesBuilder::scheduled_commands) is among them: once, then or
/// later, also after a restart. One that is refused waits for an operator as the instance of its
/// id in the process `scheduled_commands`.
#[derive(Clone, Debug)]
pub struct CommandScheduler {
    app: App,
}

impl CommandScheduler {
    /// Over an application.
    #[must_use]
    pub const fn new(app: App) -> Self {
        Self { app }
    }

    /// Plans a command.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn schedule(&self, plan: ScheduledCommand) -> Result<(), ScheduleError> {
        self.schedule_all([plan]).await
    }

    /// Plans several commands, or none of them.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn schedule_all(
        &self,
        plans: impl IntoIterator<Item = ScheduledCommand>,
    ) -> Result<(), ScheduleError> {
        let mut append = Append::empty();
        for ScheduledCommand { id, due, category, command } in plans {
            let stream = StreamName::of(Scheduled::CATEGORY, &id);
            let stream = stream.map_err(|source| ScheduleError::InvalidId { source })?;
            let command = command.map_err(ScheduleError::Unstorable)?.as_str().to_owned();
            let event =
                ScheduleEvent::Scheduled { id, due, category: category.to_owned(), command };
            let event = NewEvent::of(&event).map_err(ScheduleError::Unstorable)?;
            append = append.and_to(stream, ExpectedVersion::NoStream, vec![event]);
        }
        if append.streams.is_empty() {
            return Ok(());
        }
        match self.app.store().append(append).await {
            Ok(_) => Ok(()),
            Err(AppendError::Conflict(conflict)) => Err(ScheduleError::AlreadyScheduled {
                id: conflict.stream.id().unwrap_or_default().to_owned(),
            }),
            Err(error) => Err(ScheduleError::Append(error)),
        }
    }

    /// Cancels a plan: it is not sent, unless it was due already.
    ///
    /// # Errors
    /// A [`DispatchError`]; refused as [`CancelError`] when there is nothing to cancel.
    pub async fn cancel(&self, id: impl Into<String>) -> Result<(), DispatchError<CancelError>> {
        self.app.dispatch(ChangeSchedule::Cancel { id: id.into() }).await?;
        Ok(())
    }
}

/// Why a plan was not accepted. Nothing was planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is, or was, a plan of this id.
    #[error("`{id}` is planned already")]
    AlreadyScheduled {
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
    /// The store failed. When the answer got lost, planning again tells: what was stored is
    /// planned already.
    #[error("the plan was not stored")]
    Append(#[source] AppendError),
}

/// Why a plan cannot be cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is none of this id.
    #[error("there is no such plan")]
    NotScheduled,
    /// It was cancelled before.
    #[error("the plan was cancelled before")]
    AlreadyCancelled,
    /// Its moment has come: it is being sent.
    #[error("the plan is due already")]
    AlreadyDue,
}

/// A planned command: of its moment and its cancellation one comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scheduled {
    #[default]
    Unknown,
    Waiting,
    Cancelled,
    Due,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ChangeSchedule {
    Cancel { id: String },
    Send { id: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum ScheduleEvent {
    /// The command is text, so that not a byte of it changes.
    Scheduled {
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

impl Command for ChangeSchedule {
    type Aggregate = Scheduled;

    fn aggregate_id(&self) -> String {
        let (Self::Cancel { id } | Self::Send { id }) = self;
        id.clone()
    }
}

const SCHEDULED: EventType = EventType::new("cqrs.command-scheduled", 1);
const CANCELLED: EventType = EventType::new("cqrs.scheduled-command-cancelled", 1);
const DUE: EventType = EventType::new("cqrs.scheduled-command-due", 1);

impl Event for ScheduleEvent {
    const TYPES: &'static [EventType] = &[SCHEDULED, CANCELLED, DUE];

    fn event_type(&self) -> EventType {
        match self {
            Self::Scheduled { .. } => SCHEDULED,
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

impl Aggregate for Scheduled {
    const CATEGORY: &'static str = "cqrs_schedule";
    type Id = String;
    type Command = ChangeSchedule;
    type Event = ScheduleEvent;
    type Error = CancelError;

    fn execute(&self, command: ChangeSchedule) -> Result<Vec<ScheduleEvent>, CancelError> {
        match (self, command) {
            (Self::Unknown, _) => Err(CancelError::NotScheduled),
            (Self::Cancelled, _) => Err(CancelError::AlreadyCancelled),
            (Self::Due, _) => Err(CancelError::AlreadyDue),
            (Self::Waiting, ChangeSchedule::Cancel { id }) => {
                Ok(vec![ScheduleEvent::Cancelled { id }])
            }
            (Self::Waiting, ChangeSchedule::Send { id }) => Ok(vec![ScheduleEvent::Due { id }]),
        }
    }

    fn apply(&mut self, event: &ScheduleEvent) {
        *self = match event {
            ScheduleEvent::Scheduled { .. } => Self::Waiting,
            ScheduleEvent::Cancelled { .. } => Self::Cancelled,
            ScheduleEvent::Due { .. } => Self::Due,
        };
    }
}

/// Sends planned commands.
pub(super) struct ScheduledCommands {
    pub(super) destinations: Destinations,
}

/// What is to be sent: the aggregate's category and the command.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    category: String,
    command: String,
}

impl ProcessManager for ScheduledCommands {
    type Event = ScheduleEvent;
    type State = Content;
    const NAME: &'static str = "scheduled_commands";

    fn destinations(&self) -> Destinations {
        self.destinations.clone().to::<Scheduled>()
    }

    fn route(&self, event: &Recorded<ScheduleEvent>) -> Vec<Route> {
        vec![match &event.event {
            ScheduleEvent::Scheduled { id, .. } => Route::start_or_continue(id),
            ScheduleEvent::Cancelled { id } | ScheduleEvent::Due { id } => Route::end(id),
        }]
    }

    fn apply(&self, content: &mut Content, event: &Recorded<ScheduleEvent>) {
        if let ScheduleEvent::Scheduled { category, command, .. } = &event.event {
            *content = Content { category: category.clone(), command: command.clone() };
        }
    }

    fn react(&self, content: &Content, event: &Recorded<ScheduleEvent>) -> Effects {
        match &event.event {
            ScheduleEvent::Scheduled { id, due, .. } => Effects::none().start_timer_at(id, *due),
            ScheduleEvent::Cancelled { .. } => Effects::none(),
            ScheduleEvent::Due { .. } => {
                let command = Payload::from_stored(content.command.clone());
                Effects::none().dispatch_stored(content.category.clone(), command)
            }
        }
    }

    fn on_timeout(&self, _: &mut Content, timeout: &Timeout) -> Effects {
        Effects::none().dispatch(ChangeSchedule::Send { id: timeout.name().to_owned() })
    }

    fn on_rejected(&self, _: &mut Content, rejected: &RejectedCommand) -> Effects {
        match rejected.error::<CancelError>() {
            // The cancellation came first.
            Some(_) => Effects::none(),
            None => Effects::none().suspend(rejected.reason()),
        }
    }
}
