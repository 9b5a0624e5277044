//! Recurring commands: a process with one instance, whose timer sends each command.

use super::destinations::Destinations;
use super::effects::{Effects, Timeout};
use super::manager::{ProcessManager, Route};
use crate::{
    Aggregate, Command, DecodeFailure, Event, EventType, Payload, PayloadError, Recorded, Timestamp,
};

/// Sends a command at recurring times (*ticks*), such as every ten seconds or at the end of each
/// day. Add it with [`ProcessesBuilder::recurring`](super::ProcessesBuilder::recurring).
///
/// Each tick sends exactly one command, no matter how many nodes run or how often they crash; see
/// [`missed`](Self::missed) for ticks while no node runs. A command that is rejected suspends the
/// instance `recurring` of the process [`NAME`](Self::NAME) until an operator resumes it; no
/// further commands are sent until then.
///
/// ```
/// # use std::time::Duration;
/// # use cqrs_core::{*, event::*};
/// # #[derive(Default)] struct Ledger;
/// # struct DayClosed;
/// # impl Event for DayClosed {
/// #     const TYPES: &'static [EventType] = &[EventType::new("ledger.day-closed", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&()) }
/// #     fn decode(_: &str, _: &Payload) -> Result<Self, DecodeFailure> { Ok(Self) }
/// # }
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct CloseDay { ended_at: Timestamp }
/// # impl Command for CloseDay { type Aggregate = Ledger; fn aggregate_id(&self) -> String { "1".into() } }
/// # impl Aggregate for Ledger {
/// #     const CATEGORY: &'static str = "ledger";
/// #     type Id = String; type Command = CloseDay; type Event = DayClosed; type Error = std::fmt::Error;
/// #     fn execute(&self, _: CloseDay) -> Result<Vec<DayClosed>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &DayClosed) {}
/// # }
/// use cqrs_core::process::{MissedTicks, RecurringCommand};
///
/// struct EndOfDay;
///
/// impl RecurringCommand for EndOfDay {
///     type Command = CloseDay;
///     const NAME: &'static str = "end_of_day";
///
///     fn next(&self, after: Timestamp) -> Option<Timestamp> {
///         Some(after.next_multiple_of(Duration::from_secs(24 * 60 * 60)))
///     }
///
///     fn command(&self, tick: Timestamp) -> CloseDay {
///         CloseDay { ended_at: tick }
///     }
///
///     fn missed(&self) -> MissedTicks {
///         MissedTicks::Each // every day is closed, even if nothing ran for three days
///     }
/// }
///
/// let noon: Timestamp = "2026-11-20T12:00:00Z".parse()?;
/// assert_eq!(EndOfDay.next(noon), Some("2026-11-21T00:00:00Z".parse()?));
/// assert_eq!(EndOfDay.missed(), MissedTicks::Each);
/// # Ok::<(), InvalidTimestamp>(())
/// ```
pub trait RecurringCommand: Send + Sync + 'static {
    /// The command to send.
    type Command: Command;

    /// The name under which the next tick is stored: 1 to 32 lower-case letters, digits and
    /// underscores, starting with a letter. Must never change.
    const NAME: &'static str;

    /// Returns the next tick after `after`, which is the previous tick or the time of the first
    /// start. A tick that is not later than `after` suspends the instance. `None` ends the
    /// recurring command.
    ///
    /// A changed implementation takes effect after the tick that is already stored.
    fn next(&self, after: Timestamp) -> Option<Timestamp>;

    /// Returns the command of a tick. It is sent at or after the tick.
    fn command(&self, tick: Timestamp) -> Self::Command;

    /// Returns what to do about ticks that were missed while nothing was running. Default:
    /// [`MissedTicks::Each`].
    fn missed(&self) -> MissedTicks {
        MissedTicks::Each
    }
}

/// What to do about ticks that were missed while nothing was running, returned by
/// [`RecurringCommand::missed`].
///
/// If no node runs for three days, then at the next start a daily command is sent three times with
/// [`Each`](Self::Each), and once with [`First`](Self::First).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissedTicks {
    /// Send a command for each missed tick, in order.
    Each,
    /// Send a command for the first missed tick only, and continue with the next tick in the
    /// future.
    First,
}

/// The id of the only instance, and the name of its timer.
pub(super) const INSTANCE: &str = "recurring";
const TICK: &str = "tick";

/// A recurring command as a process that handles no events.
pub(super) struct Recurring<R>(pub(super) R);

/// An event that is never stored.
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

impl<R: RecurringCommand> Recurring<R> {
    /// Returns the effects of the first start.
    pub(super) fn first(&self, now: Timestamp) -> Effects {
        self.tick_after(now)
    }

    fn tick_after(&self, after: Timestamp) -> Effects {
        match self.0.next(after) {
            Some(next) if next > after => Effects::new().start_timer_at(TICK, next),
            Some(next) => Effects::new()
                .suspend(format!("`next` returned {next}, which is not later than {after}")),
            None => Effects::new().end(),
        }
    }
}

impl<R: RecurringCommand> ProcessManager for Recurring<R>
where
    Target<R>: Aggregate<Command: Command<Aggregate = Target<R>>>,
{
    type Event = Never;
    type State = ();
    const NAME: &'static str = R::NAME;

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Target<R>>()
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

type Target<R> = <<R as RecurringCommand>::Command as Command>::Aggregate;
