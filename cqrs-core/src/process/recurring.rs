//! Commands again and again: a schedule is a process whose timer starts the next one.

use super::destinations::Destinations;
use super::effects::{Effects, Timeout};
use super::manager::{ProcessManager, Route};
use crate::{
    Aggregate, Command, DecodeFailure, Event, EventType, Payload, PayloadError, Recorded, Timestamp,
};

/// Sends a command again and again: at the end of each day, every ten seconds.
///
/// Each tick sends one command, whichever node is at work and however often that crashes. One that
/// is refused stops the schedule until an operator has seen to it; its instance is called
/// `schedule`.
///
/// ```
/// # use std::time::Duration;
/// # use cqrs_core::{*, aggregate::*, app::*, event::*, process::*, projection::*, repository::*, store::*, subscription::*, upcast::*};
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
/// impl RecurringCommand for EndOfDay {
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
pub trait RecurringCommand: Send + Sync + 'static {
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
    fn missed(&self) -> MissedTicks {
        MissedTicks::Each
    }
}

/// What is to be done about ticks at which nothing was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissedTicks {
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

impl<S: RecurringCommand> Recurring<S> {
    /// What is to be done when it runs for the first time.
    pub(super) fn first(&self, now: Timestamp) -> Effects {
        self.tick_after(now)
    }

    fn tick_after(&self, moment: Timestamp) -> Effects {
        match self.0.next(moment) {
            Some(next) if next > moment => Effects::none().start_timer_at(TICK, next),
            Some(next) => Effects::none()
                .suspend(format!("the tick after {moment} is to be {next}, which is not later")),
            None => Effects::none().end(),
        }
    }
}

impl<S: RecurringCommand> ProcessManager for Recurring<S>
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
            MissedTicks::Each => tick,
            MissedTicks::First => tick.max(timeout.at()),
        };
        self.tick_after(next_after).dispatch(self.0.command(tick))
    }
}

type Target<S> = <<S as RecurringCommand>::Command as Command>::Aggregate;
