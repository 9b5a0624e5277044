//! What is stored of a process: instances with their commands and timers, and operator requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CausationId, CommandId, CorrelationId, Payload, Position, Timestamp};

/// An instance of a process: one transfer, one order. This record contains everything that is
/// stored about it. List instances with [`Processes::instances`](super::Processes::instances).
///
/// ```
/// use cqrs_core::Timestamp;
/// use cqrs_core::event::Payload;
/// use cqrs_core::process::{Instance, InstanceStatus};
///
/// let state = Payload::encode("no events yet")?;
/// let mut instance = Instance::new("order-7".to_owned(), state, 1, Timestamp::UNIX_EPOCH);
/// assert_eq!(instance.status, InstanceStatus::Running);
/// assert!(!instance.is_busy());
///
/// instance.status = InstanceStatus::Suspended { reason: "sold out".to_owned() };
/// assert!(instance.is_suspended());
/// # Ok::<(), cqrs_core::event::PayloadError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// The id, as given to a constructor of [`Route`](super::Route). Unique within the process.
    pub id: String,
    /// Whether the instance is running, suspended or ended.
    pub status: InstanceStatus,
    /// The process manager's state, as JSON.
    pub state: Payload,
    /// The [`STATE_VERSION`](super::ProcessManager::STATE_VERSION) at which the state was stored.
    pub state_version: u32,
    /// When the instance's first event was recorded.
    pub started_at: Timestamp,
    /// When the instance last changed, by the clock of the runtime that changed it.
    pub updated_at: Timestamp,
    /// The commands without a recorded answer, in the order in which they are sent.
    pub commands: Vec<OutgoingCommand>,
    /// The timers that have not fired.
    pub timers: Vec<Timer>,
    /// The positions of events that a suspended instance has not handled yet, in log order.
    pub waiting: Vec<Position>,
}

impl Instance {
    /// Creates a running instance without commands or timers.
    #[must_use]
    pub const fn new(id: String, state: Payload, state_version: u32, at: Timestamp) -> Self {
        Self {
            id,
            status: InstanceStatus::Running,
            state,
            state_version,
            started_at: at,
            updated_at: at,
            commands: Vec::new(),
            timers: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Returns `true` if the instance has commands to send and is not suspended.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.commands.is_empty() && !self.is_suspended()
    }

    /// Returns `true` if the instance is suspended until an operator resumes or ends it.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        matches!(self.status, InstanceStatus::Suspended { .. })
    }

    /// Returns when the instance's next timer is due, or `None` if it has no timer or is not
    /// running.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let runs = self.status == InstanceStatus::Running;
        self.timers.iter().map(|timer| timer.due).min().filter(|_| runs)
    }
}

/// The status of an [`Instance`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceStatus {
    /// The instance handles events, sends commands and fires timers.
    Running,
    /// The instance has ended. It remains stored, so that a late event does not start it again.
    Ended,
    /// The instance does nothing until an operator resumes it with
    /// [`Processes::retry`](super::Processes::retry) or ends it. Its events are kept in order.
    Suspended {
        /// Why the instance is suspended, for the operator.
        reason: String,
    },
}

/// A command without a recorded answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingCommand {
    /// The command's id, derived from the process, the instance and the cause, so that sending the
    /// command again has no effect.
    pub id: CommandId,
    /// The category of the aggregate that the command is sent to.
    pub category: String,
    /// The aggregate's `Command`, as JSON.
    pub command: Payload,
    /// The correlation id that the command is sent with; a new one if `None`.
    pub correlation_id: Option<CorrelationId>,
    /// The event or command that caused the command.
    pub causation_id: CausationId,
    /// The actor that the command is sent with; `process:` and the name of the process if `None`.
    pub actor: Option<String>,
    /// The headers that the command is sent with.
    pub headers: BTreeMap<String, Value>,
    /// If `true`, the command is revoked instead of sent.
    pub revoked: bool,
}

impl OutgoingCommand {
    /// Creates a command without a correlation id, an actor or headers.
    #[must_use]
    pub const fn new(
        id: CommandId,
        category: String,
        command: Payload,
        causation_id: CausationId,
    ) -> Self {
        Self {
            id,
            category,
            command,
            correlation_id: None,
            causation_id,
            actor: None,
            headers: BTreeMap::new(),
            revoked: false,
        }
    }
}

/// A timer that has not fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timer {
    /// The name, unique within the instance.
    pub name: String,
    /// The time at or after which the timer fires.
    pub due: Timestamp,
    /// The correlation id of what started the timer.
    pub correlation_id: Option<CorrelationId>,
    /// The event or command that caused the timer to be started.
    pub causation_id: CausationId,
    /// The headers that commands sent on timeout inherit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Value>,
}

/// The work of a process that is pending at a given time, as returned by
/// [`ProcessStore::pending_work`](super::ProcessStore::pending_work).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PendingWork {
    /// The instances with commands to send, in the order in which they became busy.
    pub busy: Vec<Instance>,
    /// The ids of instances with a timer that is due.
    pub due: Vec<String>,
    /// When the next timer will be due, among those that are not due yet.
    pub next_due: Option<Timestamp>,
    /// The requests of operators.
    pub requests: Vec<Request>,
}

/// A request of an operator about one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Request {
    /// The id of the instance.
    pub instance: String,
    /// What to do with the instance.
    pub action: OperatorAction,
}

/// What an operator can do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OperatorAction {
    /// Resume the instance: send its commands, then handle its waiting events.
    Retry,
    /// End the instance and drop its commands, timers and waiting events.
    End,
}
