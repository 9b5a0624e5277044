//! Commands at a time: once, or again and again.
//!
//! A schedule is a process whose timer starts the next one; a planned command is an aggregate of
//! its own, so that of a cancellation and the moment itself one comes first for everybody.

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

/// Sends a command again and again: at the end of each day, every ten seconds.
///
/// Each tick sends one command, whichever node is at work and however often that crashes. One that
/// is refused stops the schedule until an operator has seen to it; its instance is called
/// `schedule`.
///
/// ```
/// # use std::time::Duration;
/// # use cqrs_core::*;
/// # fn close_day(day: Timestamp) -> impl Command { NoCommand }
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct NoCommand;
/// # #[derive(Default)] struct Ledger;
/// # struct Nothing;
/// # impl Event for Nothing {
/// #     const TYPES: &'static [EventType] = &[EventType::new("nothing", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&()) }
/// #     fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> { Ok(Nothing) }
/// # }
/// # impl Command for NoCommand { type Aggregate = Ledger; fn aggregate_id(&self) -> String { "1".into() } }
/// # impl Aggregate for Ledger {
/// #     const CATEGORY: &'static str = "ledger";
/// #     type Id = String; type Command = NoCommand; type Event = Nothing; type Error = std::fmt::Error;
/// #     fn execute(&self, _: NoCommand) -> Result<Vec<Nothing>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Nothing) {}
/// # }
/// struct EndOfDay;
///
/// impl Schedule for EndOfDay {
///     type Command = NoCommand;
///     const NAME: &'static str = "end_of_day";
///
///     fn next(&self, after: Timestamp) -> Option<Timestamp> {
///         Some(after.next_multiple_of(Duration::from_secs(24 * 60 * 60)))
///     }
///
///     fn command(&self, tick: Timestamp) -> NoCommand {
///         NoCommand
///     }
/// }
/// ```
pub trait Schedule: Send + Sync + 'static {
    /// What is sent.
    type Command: Command;

    /// Under which it is remembered what was sent: 1 to 32 lower-case letters, digits and
    /// underscores, a letter first. Never changed.
    const NAME: &'static str;

    /// The next tick after a moment, which is the tick before it, or the start. `None` ends the
    /// schedule. A change holds from the tick on that is waited for.
    fn next(&self, after: Timestamp) -> Option<Timestamp>;

    /// The command of a tick: it goes off then, or later.
    fn command(&self, tick: Timestamp) -> Self::Command;

    /// What is to be done about ticks at which nothing was running.
    fn missed(&self) -> Missed {
        Missed::Each
    }
}

/// What is to be done about ticks at which nothing was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// Each gets its command, in order.
    Each,
    /// The first of them gets its command; then it goes on with the next one to come.
    First,
}

/// The instance of a schedule, and its timer.
pub(super) const INSTANCE: &str = "schedule";
const TICK: &str = "tick";

/// A schedule as a process without events.
pub(super) struct Recurring<S>(pub(super) S);

/// An event that never happens.
pub(super) enum Never {}

impl Event for Never {
    const TYPES: &'static [EventType] = &[EventType::new("cqrs.never", 1)];

    fn event_type(&self) -> EventType {
        match *self {}
    }

    fn encode(&self) -> Result<Payload, PayloadError> {
        match *self {}
    }

    fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> {
        Err(DecodeFailure::UnknownType)
    }
}

impl<S: Schedule> Recurring<S> {
    /// What is to be done when it runs for the first time.
    pub(super) fn first(&self, now: Timestamp) -> Effects {
        self.tick_after(now)
    }

    fn tick_after(&self, moment: Timestamp) -> Effects {
        match self.0.next(moment) {
            Some(next) if next > moment => Effects::none().start_timer_at(TICK, next),
            Some(next) => Effects::none()
                .attention(format!("the tick after {moment} is to be {next}, which is not later")),
            None => Effects::none().end(),
        }
    }
}

impl<S: Schedule> ProcessManager for Recurring<S>
where
    Target<S>: Aggregate<Command: Command<Aggregate = Target<S>>>,
{
    type Event = Never;
    type State = ();
    const NAME: &'static str = S::NAME;

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Target<S>>()
    }

    fn route(&self, event: &Recorded<Never>) -> Vec<Route> {
        match event.event {}
    }

    fn apply(&self, (): &mut (), event: &Recorded<Never>) {
        match event.event {}
    }

    fn react(&self, (): &(), event: &Recorded<Never>) -> Effects {
        match event.event {}
    }

    fn on_timeout(&self, (): &mut (), timeout: &Timeout) -> Effects {
        let tick = timeout.due();
        let next_after = match self.0.missed() {
            Missed::Each => tick,
            Missed::First => tick.max(timeout.at()),
        };
        self.tick_after(next_after).dispatch(self.0.command(tick))
    }
}

type Target<S> = <<S as Schedule>::Command as Command>::Aggregate;

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
#[derive(Debug)]
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
    /// The store is in trouble.
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
