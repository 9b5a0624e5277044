//! Scheduled commands: sent once, at a given time, unless they are cancelled.
//!
//! Each scheduled command is a separate aggregate. Its stream orders the cancellation and the due
//! time, so every observer agrees on which came first.

use serde::{Deserialize, Serialize};

use super::destinations::Destinations;
use super::effects::{Effects, RejectedCommand, Timeout};
use super::manager::{ProcessManager, Route};
use crate::app::DispatchError;
use crate::store::EventStore;
use crate::{
    Aggregate, App, Append, AppendError, Command, DecodeFailure, Event, EventType, ExpectedVersion,
    InvalidName, Metadata, NewEvent, Payload, PayloadError, Recorded, StreamName, Timestamp,
};

/// A command to send once, at a given time. Schedule it with [`CommandScheduler::schedule`].
///
/// ```
/// # use cqrs_core::{*, event::*};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ship { order: String }
/// # #[derive(Default)] struct Shop;
/// # struct Shipped;
/// # impl Event for Shipped {
/// #     const TYPES: &'static [EventType] = &[EventType::new("shop.shipped", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&()) }
/// #     fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> { Ok(Self) }
/// # }
/// # impl Command for Ship { type Aggregate = Shop; fn aggregate_id(&self) -> String { self.order.clone() } }
/// # impl Aggregate for Shop {
/// #     const CATEGORY: &'static str = "shop";
/// #     type Id = String; type Command = Ship; type Event = Shipped; type Error = std::fmt::Error;
/// #     fn execute(&self, _: Ship) -> Result<Vec<Shipped>, std::fmt::Error> { Ok(vec![Shipped]) }
/// #     fn apply(&mut self, _: &Shipped) {}
/// # }
/// use cqrs_core::process::ScheduledCommand;
///
/// let due: Timestamp = "2026-12-24T08:00:00Z".parse()?;
/// let command = ScheduledCommand::new("ship-7", due, Ship { order: "7".into() })
///     .metadata(Metadata::default().with_actor("customer-3"));
/// assert_eq!((command.id(), command.due()), ("ship-7", due));
/// # Ok::<(), InvalidTimestamp>(())
/// ```
#[derive(Debug)]
pub struct ScheduledCommand {
    id: String,
    due: Timestamp,
    category: &'static str,
    command: Result<Payload, PayloadError>,
    metadata: Metadata,
}

impl ScheduledCommand {
    /// Creates a command that is sent at or after `due`. The id must be unique among all scheduled
    /// commands of the store, including those that were sent or cancelled.
    pub fn new<C: Command>(id: impl Into<String>, due: Timestamp, command: C) -> Self {
        let command: <C::Aggregate as Aggregate>::Command = command.into_command();
        let (id, command) = (id.into(), Payload::encode(&command));
        let metadata = Metadata::default();
        Self { id, due, category: C::Aggregate::CATEGORY, command, metadata }
    }

    /// Returns the id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the time at or after which the command is sent.
    #[must_use]
    pub const fn due(&self) -> Timestamp {
        self.due
    }

    /// Sets the metadata that is stored with the schedule. The command is sent with its correlation
    /// id, and with the headers that the application
    /// [propagates](crate::app::AppBuilder::propagate).
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }
}

/// Schedules commands for later.
///
/// The commands are sent by any node of the application that runs [`Processes`](super::Processes)
/// with [`scheduled_commands`](super::ProcessesBuilder::scheduled_commands): once, at or after the
/// due time, even after a restart. A command that is rejected suspends the instance of its id in
/// the process `scheduled_commands` until an operator resumes it.
///
/// ```
/// # use cqrs_core::{*, event::*};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ship { order: String }
/// # #[derive(Default)] struct Shop;
/// # struct Shipped;
/// # impl Event for Shipped {
/// #     const TYPES: &'static [EventType] = &[EventType::new("shop.shipped", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&()) }
/// #     fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> { Ok(Self) }
/// # }
/// # impl Command for Ship { type Aggregate = Shop; fn aggregate_id(&self) -> String { self.order.clone() } }
/// # impl Aggregate for Shop {
/// #     const CATEGORY: &'static str = "shop";
/// #     type Id = String; type Command = Ship; type Event = Shipped; type Error = std::fmt::Error;
/// #     fn execute(&self, _: Ship) -> Result<Vec<Shipped>, std::fmt::Error> { Ok(vec![Shipped]) }
/// #     fn apply(&mut self, _: &Shipped) {}
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::process::{CommandScheduler, ScheduleError, ScheduledCommand};
/// use cqrs_memory::MemoryStore;
///
/// let scheduler = CommandScheduler::new(App::new(MemoryStore::new()));
/// let due: Timestamp = "2026-12-24T08:00:00Z".parse()?;
/// let ship = || ScheduledCommand::new("ship-7", due, Ship { order: "7".into() });
/// scheduler.schedule(ship()).await?;
///
/// let again = scheduler.schedule(ship()).await;
/// assert!(matches!(again, Err(ScheduleError::AlreadyScheduled { id }) if id == "ship-7"));
///
/// scheduler.cancel("ship-7").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CommandScheduler {
    app: App,
}

impl CommandScheduler {
    /// Creates a scheduler over the application's store.
    #[must_use]
    pub const fn new(app: App) -> Self {
        Self { app }
    }

    /// Schedules a command.
    ///
    /// # Errors
    /// Returns [`ScheduleError`]. In that case nothing is scheduled, unless the outcome of the
    /// append is unknown.
    pub async fn schedule(&self, command: ScheduledCommand) -> Result<(), ScheduleError> {
        self.schedule_all([command]).await
    }

    /// Schedules several commands: all of them, or none.
    ///
    /// # Errors
    /// Returns [`ScheduleError`]. In that case nothing is scheduled, unless the outcome of the
    /// append is unknown.
    pub async fn schedule_all(
        &self,
        commands: impl IntoIterator<Item = ScheduledCommand>,
    ) -> Result<(), ScheduleError> {
        let mut append = Append::empty();
        for ScheduledCommand { id, due, category, command, metadata } in commands {
            let stream = StreamName::of(Scheduled::CATEGORY, &id);
            let stream =
                stream.map_err(|source| ScheduleError::InvalidId { id: id.clone(), source })?;
            let unencodable = |source| ScheduleError::Unencodable { id: id.clone(), source };
            let command = command.map_err(unencodable)?.as_str().to_owned();
            let category = category.to_owned();
            let event = ScheduleEvent::Scheduled { id: id.clone(), due, category, command };
            let event = NewEvent::of(&event).map_err(unencodable)?.with_metadata(metadata);
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

    /// Cancels a scheduled command, unless it is already due.
    ///
    /// # Errors
    /// Returns [`DispatchError::Rejected`] with a [`CancelError`] if no such command is scheduled,
    /// or if it is already cancelled or due. Returns another [`DispatchError`] if the cancellation
    /// cannot be stored.
    pub async fn cancel(&self, id: impl Into<String>) -> Result<(), DispatchError<CancelError>> {
        self.app.dispatch(ChangeSchedule::Cancel { id: id.into() }).await?;
        Ok(())
    }
}

/// Why commands were not scheduled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A command was scheduled under this id before. It may have been sent or cancelled since.
    /// Choose another id.
    #[error("scheduled command `{id}` already exists")]
    AlreadyScheduled {
        /// The id.
        id: String,
    },
    /// The id cannot be part of a stream name.
    #[error("invalid id `{id}` of a scheduled command")]
    InvalidId {
        /// The id.
        id: String,
        /// The rule it breaks.
        #[source]
        source: InvalidName,
    },
    /// The command cannot be encoded.
    #[error("scheduled command `{id}` cannot be encoded")]
    Unencodable {
        /// The id.
        id: String,
        /// The cause.
        #[source]
        source: PayloadError,
    },
    /// The event store failed. If the outcome is unknown, schedule again: commands that were stored
    /// are reported as [`AlreadyScheduled`](Self::AlreadyScheduled).
    #[error("scheduled commands cannot be stored")]
    Append(#[source] AppendError),
}

/// Why a scheduled command was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// No command was scheduled under this id.
    #[error("no scheduled command `{id}`")]
    NotScheduled {
        /// The id.
        id: String,
    },
    /// The command is already cancelled.
    #[error("scheduled command `{id}` is already cancelled")]
    AlreadyCancelled {
        /// The id.
        id: String,
    },
    /// The command is due: it is being sent, or was sent.
    #[error("scheduled command `{id}` is due and cannot be cancelled")]
    AlreadyDue {
        /// The id.
        id: String,
    },
}

/// The state of a scheduled command: it becomes either cancelled or due.
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
    /// Contains the command as text, so that its bytes do not change.
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

impl ChangeSchedule {
    fn into_id(self) -> String {
        let (Self::Cancel { id } | Self::Send { id }) = self;
        id
    }
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
    const CATEGORY: &'static str = "cqrs_scheduled_command";
    type Id = String;
    type Command = ChangeSchedule;
    type Event = ScheduleEvent;
    type Error = CancelError;

    fn execute(&self, command: ChangeSchedule) -> Result<Vec<ScheduleEvent>, CancelError> {
        match (self, command) {
            (Self::Unknown, command) => Err(CancelError::NotScheduled { id: command.into_id() }),
            (Self::Cancelled, command) => {
                Err(CancelError::AlreadyCancelled { id: command.into_id() })
            }
            (Self::Due, command) => Err(CancelError::AlreadyDue { id: command.into_id() }),
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

/// The process that sends scheduled commands.
pub(super) struct ScheduledCommands {
    pub(super) destinations: Destinations,
}

/// The category of the aggregate, and the command.
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
            ScheduleEvent::Scheduled { id, due, .. } => Effects::new().start_timer_at(id, *due),
            ScheduleEvent::Cancelled { .. } => Effects::new(),
            ScheduleEvent::Due { .. } => {
                let command = Payload::from_stored(content.command.clone());
                Effects::new().dispatch_stored(content.category.clone(), command)
            }
        }
    }

    fn on_timeout(&self, _: &mut Content, timeout: &Timeout) -> Effects {
        Effects::new().dispatch(ChangeSchedule::Send { id: timeout.name().to_owned() })
    }

    fn on_rejected(&self, _: &mut Content, rejected: &RejectedCommand) -> Effects {
        match rejected.error::<CancelError>() {
            // It was cancelled before it was due.
            Some(_) => Effects::new(),
            None => Effects::new().suspend(rejected.reason()),
        }
    }
}
