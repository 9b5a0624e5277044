//! What a process is: whom events concern, what it remembers, what it does about them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::destinations::Destinations;
use super::effects::{Effects, RejectedCommand, Timeout};
use crate::{Event, Recorded, UpcastFailure};

/// A conversation between aggregates that takes several commands and may fail half way: a
/// transfer, an order. Each has many *instances*, one for each transfer.
///
/// What happens is an event in the log; what is to be done about it is data, returned as
/// [`Effects`] and kept with the state of the instance in one transaction. The runtime then sends
/// the commands, each under an id derived from the process, the instance and its cause: sent again
/// after a crash it is known and not decided twice.
///
/// An instance takes its events in the order of the log. When one of its handlers panics or its
/// commands cannot be sent, the instance waits for an operator and all others go on.
///
/// The four functions are pure: no I/O, no clock. The event carries its time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process manager",
    note = "implement `ProcessManager`: `route`, `apply`, `react`"
)]
pub trait ProcessManager: Send + Sync + 'static {
    /// The events it takes in, of one or several aggregates.
    type Event: Event;

    /// What an instance remembers.
    type State: Default + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Under which its instances are kept: 1 to 32 lower-case letters, digits and underscores, a
    /// letter first. Never changed.
    const NAME: &'static str;

    /// The version of the stored state, counted up when its form changes; see
    /// [`upcast`](Self::upcast).
    const STATE_VERSION: u32 = 1;

    /// The aggregates it sends commands to.
    fn destinations(&self) -> Destinations;

    /// Which instances an event concerns, and how. None: the event is passed over.
    fn route(&self, event: &Recorded<Self::Event>) -> Vec<Route>;

    /// Takes in what happened.
    fn apply(&self, state: &mut Self::State, event: &Recorded<Self::Event>);

    /// Says what is to be done about it, by the state after [`apply`](Self::apply).
    fn react(&self, state: &Self::State, event: &Recorded<Self::Event>) -> Effects;

    /// Says what is to be done about a command that its aggregate refused. The rejection is on record
    /// before anything is done about it. Unless it is said otherwise the instance waits for an
    /// operator.
    fn on_rejected(&self, state: &mut Self::State, rejected: &RejectedCommand) -> Effects {
        let _ = state;
        Effects::none().suspend(rejected.reason())
    }

    /// Says what is to be done when a timer that [`Effects::start_timer`] started goes off.
    fn on_timeout(&self, state: &mut Self::State, timeout: &Timeout) -> Effects {
        let _ = state;
        Effects::none().suspend(format!("nothing is planned for timer `{}`", timeout.name()))
    }

    /// Brings a state of an earlier version to [`STATE_VERSION`](Self::STATE_VERSION).
    ///
    /// # Errors
    /// Why it cannot be; the instance then waits for an operator.
    fn upcast(&self, version: u32, state: Value) -> Result<Value, UpcastFailure> {
        let _ = state;
        Err(format!("no upcast of a state of version {version}").into())
    }
}

/// How an event concerns an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub(super) instance: String,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum How {
    StartOrContinue,
    Start,
    ContinueExisting,
    ContinueIfStarted,
    End,
}

#[allow(clippy::needless_pass_by_value)] // ids read better without ampersands
impl Route {
    /// Begins the instance; one that has begun goes on.
    pub fn start_or_continue(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), how: How::StartOrContinue }
    }

    /// Begins the instance; one that has begun before waits for an operator.
    pub fn start(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), how: How::Start }
    }

    /// Goes on with the instance; one that has not begun waits for an operator.
    pub fn continue_existing(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), how: How::ContinueExisting }
    }

    /// Goes on with the instance; one that has not begun is left alone.
    pub fn continue_if_started(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), how: How::ContinueIfStarted }
    }

    /// Goes on with the instance and ends it after what it does about this event. One that is not
    /// there is left alone.
    pub fn end(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), how: How::End }
    }
}
