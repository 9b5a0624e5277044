//! What a process manager returns, and what it is given: effects, rejected commands, timeouts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::records::OutgoingCommand;
use crate::{Aggregate, Command, Metadata, Payload, PayloadError, Timestamp};

/// What a process instance does next, as data: send commands, start or cancel timers, end.
///
/// Effects are stored in one transaction with the state of the instance and carried out after the
/// commit, in the order in which they were added.
///
/// Commands and timers inherit the correlation id of what caused them, and the headers that the
/// application [propagates](crate::app::AppBuilder::propagate).
///
/// ```
/// use std::time::Duration;
///
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
/// let ship = Ship { order: "7".into() };
/// let minute = Duration::from_secs(60);
/// let effects = Effects::new().dispatch(ship.clone()).start_timer("late", minute);
///
/// // A test compares them with what it expects.
/// assert_eq!(effects, Effects::new().dispatch(ship).start_timer("late", minute));
/// assert_ne!(effects, Effects::new().end());
/// ```
#[must_use = "effects do nothing unless they are returned to the runtime"]
#[derive(Debug, Default)]
pub struct Effects {
    pub(super) list: Vec<Effect>,
    /// The first command that could not be encoded.
    pub(super) unencodable: Option<PayloadError>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    Dispatch { category: Cow<'static, str>, command: Payload, metadata: Box<Metadata> },
    StartTimer { name: String, due: Due },
    CancelTimer { name: String },
    Revoke { category: &'static str },
    End,
    Suspend { reason: String },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Due {
    At(Timestamp),
    After(Duration),
}

impl Effects {
    /// Creates effects that do nothing.
    pub const fn new() -> Self {
        Self { list: Vec::new(), unencodable: None }
    }

    fn and(mut self, effect: Effect) -> Self {
        self.list.push(effect);
        self
    }

    /// Sends a command. The commands of one instance are sent in order, each after the previous
    /// one was answered.
    ///
    /// A command that cannot be encoded suspends the instance.
    pub fn dispatch<C: Command>(self, command: C) -> Self {
        self.dispatch_with(command, Metadata::default())
    }

    /// Sends a command with its own metadata. Its correlation id and actor replace those that the
    /// command would have otherwise, and its headers are added to the inherited ones. The command
    /// id and the causation id are always set by the runtime.
    ///
    /// Default actor: `process:` and the name of the process.
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
    /// let ship = Ship { order: "7".into() };
    /// let urgent = Metadata::default().with_header("priority", "high");
    /// let effects = Effects::new().dispatch_with(ship.clone(), urgent);
    /// // Metadata counts in comparisons.
    /// assert_ne!(effects, Effects::new().dispatch(ship));
    /// ```
    pub fn dispatch_with<C: Command>(mut self, command: C, metadata: Metadata) -> Self {
        let command = command.into_command();
        match Payload::encode(&command) {
            Ok(command) => {
                let category = C::Aggregate::CATEGORY.into();
                self.and(Effect::Dispatch { category, command, metadata: Box::new(metadata) })
            }
            Err(error) => {
                self.unencodable.get_or_insert(error);
                self
            }
        }
    }

    /// Appends the effects of `more` to these.
    pub fn and_all(mut self, more: Self) -> Self {
        self.list.extend(more.list);
        self.unencodable = self.unencodable.or(more.unencodable);
        self
    }

    /// Sends a command that is already encoded.
    pub(super) fn dispatch_stored(self, category: String, command: Payload) -> Self {
        self.and(Effect::Dispatch { category: category.into(), command, metadata: Box::default() })
    }

    /// Starts a timer. It is due this long after the event was recorded, or after the current time
    /// if the effects do not result from an event. It fires once, when it is due or later, and then
    /// calls [`on_timeout`](super::ProcessManager::on_timeout). A timer of the same name is
    /// replaced.
    pub fn start_timer(self, name: impl Into<String>, after: Duration) -> Self {
        self.and(Effect::StartTimer { name: name.into(), due: Due::After(after) })
    }

    /// Starts a timer that is due at a given time; see [`start_timer`](Self::start_timer).
    pub fn start_timer_at(self, name: impl Into<String>, due: Timestamp) -> Self {
        self.and(Effect::StartTimer { name: name.into(), due: Due::At(due) })
    }

    /// Cancels a timer. Does nothing if there is no timer of this name.
    pub fn cancel_timer(self, name: impl Into<String>) -> Self {
        self.and(Effect::CancelTimer { name: name.into() })
    }

    /// Revokes the instance's unanswered commands to an aggregate, including one that is being
    /// sent. If a command has already taken effect, its events arrive as usual. Otherwise it never
    /// takes effect, and [`on_rejected`](super::ProcessManager::on_rejected) is called with a
    /// command that [is revoked](RejectedCommand::is_revoked).
    ///
    /// Use it for steps that take too long. A refund, for example, is only safe when the payment
    /// can no longer arrive.
    pub fn revoke_commands<A: Aggregate>(self) -> Self {
        self.and(Effect::Revoke { category: A::CATEGORY })
    }

    /// Ends the instance: its timers are cancelled, its unanswered commands are still sent, and
    /// later events are ignored.
    pub fn end(self) -> Self {
        self.and(Effect::End)
    }

    /// Suspends the instance until an operator resumes it with
    /// [`Processes::retry`](super::Processes::retry) or ends it. Its later events are kept in order
    /// until then. The reason is stored with the instance, for the operator.
    pub fn suspend(self, reason: impl Into<String>) -> Self {
        self.and(Effect::Suspend { reason: reason.into() })
    }
}

impl PartialEq for Effects {
    /// Effects with a command that cannot be encoded are not equal to any effects, not even to
    /// themselves.
    fn eq(&self, other: &Self) -> bool {
        self.unencodable.is_none() && other.unencodable.is_none() && self.list == other.list
    }
}

/// A command of a process that will never take effect: the aggregate rejected it, middleware denied
/// it, or it was revoked.
///
/// ```
/// # use cqrs_core::{*, event::*, process::*};
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
/// #     type Id = String; type Command = Ship; type Event = Shipped; type Error = ShopError;
/// #     fn execute(&self, _: Ship) -> Result<Vec<Shipped>, ShopError> { Ok(vec![Shipped]) }
/// #     fn apply(&mut self, _: &Shipped) {}
/// # }
/// # #[derive(Debug, thiserror::Error)] enum ShopError { #[error("sold out")] SoldOut }
/// /// In `ProcessManager::on_rejected`:
/// fn on_rejected(rejected: &RejectedCommand) -> Effects {
///     match rejected.error() {
///         Some(ShopError::SoldOut) => Effects::new().end(),
///         // Denied or revoked.
///         None => Effects::new().suspend(rejected.reason()),
///     }
/// }
///
/// let ship = Ship { order: "7".into() };
/// let rejected = testing::rejected(ship, ShopError::SoldOut, Timestamp::UNIX_EPOCH)?;
/// assert_eq!(on_rejected(&rejected), Effects::new().end());
/// assert_eq!(rejected.command::<Shop>().unwrap().order, "7");
/// # Ok::<(), PayloadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RejectedCommand {
    pub(super) command: OutgoingCommand,
    pub(super) rejection: Rejection,
    pub(super) at: Timestamp,
}

/// Why a command will never take effect.
#[derive(Clone, Debug)]
pub(super) enum Rejection {
    /// The aggregate's error.
    Error(Arc<dyn std::error::Error + Send + Sync>),
    /// The reason given by middleware.
    Denied(String),
    Revoked,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Denied(reason) => write!(f, "denied: {reason}"),
            Self::Revoked => f.write_str("revoked"),
        }
    }
}

impl RejectedCommand {
    /// Returns the aggregate's error as text, `denied: ` and the middleware's reason, or `revoked`.
    #[must_use]
    pub fn reason(&self) -> String {
        self.rejection.to_string()
    }

    /// Returns the aggregate's error, or `None` if the command was denied or revoked, or if the
    /// error has another type.
    #[must_use]
    pub fn error<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.rejection {
            Rejection::Error(error) => error.downcast_ref(),
            Rejection::Denied(_) | Rejection::Revoked => None,
        }
    }

    /// Returns `true` if middleware denied the command.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self.rejection, Rejection::Denied(_))
    }

    /// Returns `true` if the command was revoked with [`Effects::revoke_commands`].
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        matches!(self.rejection, Rejection::Revoked)
    }

    /// Returns when the rejection was recorded, by the clock of the runtime.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns the command, or `None` if it was sent to another aggregate.
    #[must_use]
    pub fn command<A: Aggregate>(&self) -> Option<A::Command> {
        if self.command.category != A::CATEGORY {
            return None;
        }
        self.command.command.decode().ok()
    }

    /// Returns the headers that the command was sent with.
    #[must_use]
    pub const fn headers(&self) -> &BTreeMap<String, Value> {
        &self.command.headers
    }
}

/// A timer that has fired.
///
/// ```
/// # use cqrs_core::{*, process::*};
/// /// In `ProcessManager::on_timeout`:
/// fn on_timeout(timeout: &Timeout) -> Effects {
///     match timeout.name() {
///         "late" => Effects::new().end(),
///         other => Effects::new().suspend(format!("unknown timer `{other}`")),
///     }
/// }
///
/// let due = Timestamp::UNIX_EPOCH;
/// assert_eq!(on_timeout(&testing::timeout("late", due, due)), Effects::new().end());
/// ```
#[derive(Clone, Debug)]
pub struct Timeout {
    pub(super) name: String,
    pub(super) due: Timestamp,
    pub(super) at: Timestamp,
}

impl Timeout {
    /// Returns the name under which the timer was started.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns when the timer was due.
    #[must_use]
    pub const fn due(&self) -> Timestamp {
        self.due
    }

    /// Returns when the timer fired, by the clock of the runtime. This is never earlier than
    /// [`due`](Self::due).
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}
