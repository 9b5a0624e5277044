//! The process manager trait and the routes from events to instances.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::destinations::Destinations;
use super::effects::{Effects, RejectedCommand, Timeout};
use crate::{Event, Recorded, UpcastFailure};

/// Coordinates several aggregates by reacting to their events: a transfer between accounts, the
/// fulfillment of an order. Run it with [`Processes`](super::Processes).
///
/// A process has many *instances*, one for each transfer. For each event,
/// [`route`](Self::route) returns the instances it concerns; [`apply`](Self::apply) updates their
/// state, and [`react`](Self::react) returns [`Effects`]: commands to send and timers to start.
///
/// State, effects and the position in the log are stored in one transaction, and the commands are
/// sent after it under ids derived from the process, the instance and the cause. A command that is
/// sent again after a crash is recognized by its id and not decided twice.
///
/// Each instance handles its events in log order. If one of these functions panics, or a command
/// still fails after its retries, only that instance is suspended until an operator resumes it;
/// other instances continue.
///
/// The functions are pure: no I/O, no clock. Take the time from the event.
///
/// ```
/// # use cqrs_core::{*, event::*};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ship { order: String }
/// # impl Command for Ship { type Aggregate = Shop; fn aggregate_id(&self) -> String { self.order.clone() } }
/// # #[derive(Default)] struct Shop;
/// # impl Aggregate for Shop {
/// #     const CATEGORY: &'static str = "shop";
/// #     type Id = String; type Command = Ship; type Event = ShopEvent; type Error = std::fmt::Error;
/// #     fn execute(&self, _: Ship) -> Result<Vec<ShopEvent>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &ShopEvent) {}
/// # }
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum ShopEvent { Paid { order: String }, Shipped { order: String } }
/// # impl Event for ShopEvent {
/// #     const TYPES: &'static [EventType] = &[EventType::new("shop.paid", 1), EventType::new("shop.shipped", 1)];
/// #     fn event_type(&self) -> EventType { match self { Self::Paid { .. } => Self::TYPES[0], Self::Shipped { .. } => Self::TYPES[1] } }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(self) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(p.decode()?) }
/// # }
/// use cqrs_core::process::{Destinations, Route, Timeout};
/// use std::time::Duration;
///
/// /// Ships paid orders. If one is not shipped within a day, it is suspended for an operator.
/// struct Delivery;
///
/// impl ProcessManager for Delivery {
///     type Event = ShopEvent;
///     type State = ();
///     const NAME: &'static str = "delivery";
///
///     fn destinations(&self) -> Destinations {
///         Destinations::new().to::<Shop>()
///     }
///
///     fn route(&self, event: &Recorded<ShopEvent>) -> Vec<Route> {
///         match &event.event {
///             ShopEvent::Paid { order } => vec![Route::start_or_continue(order)],
///             ShopEvent::Shipped { order } => vec![Route::end(order)],
///         }
///     }
///
///     fn apply(&self, _: &mut (), _: &Recorded<ShopEvent>) {}
///
///     fn react(&self, _: &(), event: &Recorded<ShopEvent>) -> Effects {
///         match &event.event {
///             ShopEvent::Paid { order } => Effects::new()
///                 .dispatch(Ship { order: order.clone() })
///                 .start_timer("late", Duration::from_secs(24 * 60 * 60)),
///             ShopEvent::Shipped { .. } => Effects::new(),
///         }
///     }
///
///     fn on_timeout(&self, _: &mut (), _: &Timeout) -> Effects {
///         Effects::new().suspend("not shipped for a day")
///     }
/// }
///
/// # let (stream, version) = (StreamName::new("shop-7")?, Version::new(1));
/// # let (position, id, at) = (Position::new(1), EventId::random(), Timestamp::UNIX_EPOCH);
/// # let paid = ShopEvent::Paid { order: "7".into() };
/// # let metadata = Metadata::default().into();
/// # let paid = Recorded::new(stream, version, position, id, at, metadata, paid);
/// assert_eq!(Delivery.route(&paid), vec![Route::start_or_continue("7")]);
/// assert_eq!(
///     Delivery.react(&(), &paid),
///     Effects::new()
///         .dispatch(Ship { order: "7".into() })
///         .start_timer("late", Duration::from_secs(24 * 60 * 60)),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `given_process` in the crate `cqrs-testing` tests a whole process in a few lines.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process manager",
    note = "implement `ProcessManager`: `route`, `apply`, `react`"
)]
pub trait ProcessManager: Send + Sync + 'static {
    /// The events the process handles, of one or several aggregates. Other events are not read.
    type Event: Event;

    /// The state of an instance. Stored as JSON.
    type State: Default + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The name under which instances are stored: 1 to 32 lower-case letters, digits and
    /// underscores, starting with a letter. Must never change.
    const NAME: &'static str;

    /// The version of the stored state. Increment it when the JSON form of
    /// [`State`](Self::State) changes, and convert older states in [`upcast`](Self::upcast).
    /// Default: 1.
    const STATE_VERSION: u32 = 1;

    /// Returns the aggregates that the process sends commands to. Checked when the process starts.
    fn destinations(&self) -> Destinations;

    /// Returns the instances that an event concerns, and how it concerns them. An event without
    /// routes is ignored.
    fn route(&self, event: &Recorded<Self::Event>) -> Vec<Route>;

    /// Updates the state of an instance with an event.
    fn apply(&self, state: &mut Self::State, event: &Recorded<Self::Event>);

    /// Returns what to do in response to an event. The state already includes the event.
    fn react(&self, state: &Self::State, event: &Recorded<Self::Event>) -> Effects;

    /// Returns what to do in response to a command that was rejected, denied or
    /// [revoked](Effects::revoke_commands). The rejection and these effects are stored in one
    /// transaction. By default, the instance is suspended.
    fn on_rejected(&self, state: &mut Self::State, rejected: &RejectedCommand) -> Effects {
        let _ = state;
        Effects::new().suspend(rejected.reason())
    }

    /// Returns what to do when a timer fires that [`Effects::start_timer`] started. By default, the
    /// instance is suspended.
    fn on_timeout(&self, state: &mut Self::State, timeout: &Timeout) -> Effects {
        let _ = state;
        let name = timeout.name();
        Effects::new().suspend(format!("`on_timeout` is not implemented; timer `{name}` fired"))
    }

    /// Converts a state of an earlier version to [`STATE_VERSION`](Self::STATE_VERSION).
    ///
    /// # Errors
    /// Returns any error if the state cannot be converted, which suspends the instance. The default
    /// implementation always fails.
    fn upcast(&self, version: u32, state: Value) -> Result<Value, UpcastFailure> {
        let _ = state;
        Err(format!("`upcast` does not convert states of version {version}").into())
    }
}

/// How an event concerns an instance.
///
/// | | the instance does not exist | the instance is running |
/// |---|---|---|
/// | [`start_or_continue`](Self::start_or_continue) | starts | continues |
/// | [`start`](Self::start) | starts | is suspended |
/// | [`continue_existing`](Self::continue_existing) | is created and suspended | continues |
/// | [`continue_if_started`](Self::continue_if_started) | nothing happens | continues |
/// | [`end`](Self::end) | nothing happens | continues, then ends |
///
/// An instance that has ended ignores every event. A suspended one keeps the event until an
/// operator resumes it.
///
/// ```
/// use cqrs_core::process::Route;
///
/// // An id can be any type that implements `Display`.
/// assert_eq!(Route::start(7), Route::start("7"));
/// assert_ne!(Route::start(7), Route::end(7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub(super) instance: String,
    pub(super) kind: RouteKind,
}

/// The kind of a [`Route`], named after its constructor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteKind {
    /// [`Route::start_or_continue`].
    StartOrContinue,
    /// [`Route::start`].
    Start,
    /// [`Route::continue_existing`].
    ContinueExisting,
    /// [`Route::continue_if_started`].
    ContinueIfStarted,
    /// [`Route::end`].
    End,
}

#[allow(clippy::needless_pass_by_value)] // ids read better without ampersands
impl Route {
    /// Starts the instance, or continues it if it exists.
    pub fn start_or_continue(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), kind: RouteKind::StartOrContinue }
    }

    /// Starts the instance. If it exists, it is suspended with this event waiting.
    pub fn start(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), kind: RouteKind::Start }
    }

    /// Continues the instance. If it does not exist, it is created and suspended with this event
    /// waiting, so that an operator sees it.
    pub fn continue_existing(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), kind: RouteKind::ContinueExisting }
    }

    /// Continues the instance. If it does not exist, nothing happens.
    pub fn continue_if_started(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), kind: RouteKind::ContinueIfStarted }
    }

    /// Continues the instance and ends it after its reaction to this event. If it does not exist,
    /// nothing happens.
    pub fn end(instance: impl ToString) -> Self {
        Self { instance: instance.to_string(), kind: RouteKind::End }
    }
}
