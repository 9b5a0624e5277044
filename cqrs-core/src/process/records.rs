//! What is kept of a process.

use serde::{Deserialize, Serialize};

use crate::{CausationId, CommandId, CorrelationId, Payload, Position, Timestamp};

/// An instance: everything that is known about it, in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// Which one; made by [`Route`](super::Route).
    pub id: String,
    /// Whether it goes on.
    pub status: InstanceStatus,
    /// Its state.
    pub state: Payload,
    /// The version of the form of its state.
    pub state_version: u32,
    /// When its first event was recorded.
    pub started_at: Timestamp,
    /// When it changed last, by the clock of the program that changed it.
    pub updated_at: Timestamp,
    /// Commands that are to be sent, in order.
    pub commands: Vec<OutgoingCommand>,
    /// Timers that are to go off.
    pub timers: Vec<Timer>,
    /// Events that wait until an operator has seen to it, in order.
    pub waiting: Vec<Position>,
}

impl Instance {
    /// One that begins.
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

    /// Whether there are commands to be sent.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.commands.is_empty() && !self.is_suspended()
    }

    /// Whether it waits for an operator.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        matches!(self.status, InstanceStatus::Suspended { .. })
    }

    /// When its next timer is due, if it may go off.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let runs = self.status == InstanceStatus::Running;
        self.timers.iter().map(|timer| timer.due).min().filter(|_| runs)
    }
}

/// Whether an instance goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceStatus {
    /// It takes in events and sends commands.
    Running,
    /// It is over. It stays on record, so that a late event does not begin it anew.
    Ended,
    /// It waits for an operator.
    Suspended {
        /// Why.
        reason: String,
    },
}

/// A command that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingCommand {
    /// Derived from the process, the instance and the cause, so that it is the same each time.
    pub id: CommandId,
    /// The category of the aggregate it is for.
    pub category: String,
    /// The command, as the aggregate's `Command`.
    pub command: Payload,
    /// The conversation it belongs to.
    pub correlation_id: Option<CorrelationId>,
    /// What it is sent because of.
    pub causation_id: CausationId,
    /// Whether it is to be taken back instead.
    pub revoked: bool,
}

impl OutgoingCommand {
    /// One that belongs to no conversation.
    #[must_use]
    pub const fn new(
        id: CommandId,
        category: String,
        command: Payload,
        causation_id: CausationId,
    ) -> Self {
        Self { id, category, command, correlation_id: None, causation_id, revoked: false }
    }
}

/// A timer that is to go off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timer {
    /// Its name within the instance.
    pub name: String,
    /// It goes off then, or later.
    pub due: Timestamp,
    /// The conversation it belongs to.
    pub correlation_id: Option<CorrelationId>,
    /// What it was started because of.
    pub causation_id: CausationId,
}

/// What there is to do at a moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PendingWork {
    /// Instances with commands to be sent, those that changed first in front.
    pub busy: Vec<Instance>,
    /// Instances with a timer that is due.
    pub due: Vec<String>,
    /// When the next timer is.
    pub next_due: Option<Timestamp>,
    /// What operators ask for.
    pub requests: Vec<Request>,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Request {
    /// Which instance it is about.
    pub instance: String,
    /// What is to be done with it.
    pub action: OperatorAction,
}

/// What is to be done with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OperatorAction {
    /// To go on where it stopped: the commands that wait, then the events that wait.
    Retry,
    /// To end; its commands, timers and waiting events are forgotten.
    End,
}
