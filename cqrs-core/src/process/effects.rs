//! What a process does, as data.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::records::OutgoingCommand;
use crate::{Aggregate, Command, Payload, PayloadError, Timestamp};

/// What is to be done, in order. Kept together with the state of the instance; commands are sent
/// after that.
///
/// ```
/// # use std::time::Duration;
/// # use cqrs_core::Effects;
/// # fn example(withdraw: impl cqrs_core::Command) -> Effects {
/// Effects::none().dispatch(withdraw).start_timer("debit", Duration::from_secs(30))
/// # }
/// ```
#[must_use = "effects that are dropped never happen"]
#[derive(Debug, Default)]
pub struct Effects {
    pub(super) list: Vec<Effect>,
    /// A command could not be written down.
    pub(super) broken: Option<PayloadError>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    Dispatch { category: Cow<'static, str>, command: Payload },
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
    /// Nothing.
    pub const fn none() -> Self {
        Self { list: Vec::new(), broken: None }
    }

    fn and(mut self, effect: Effect) -> Self {
        self.list.push(effect);
        self
    }

    /// Sends a command. Those of one instance are sent in order, each when the one before it was
    /// answered.
    pub fn dispatch<C: Command>(mut self, command: C) -> Self {
        let command: <C::Aggregate as Aggregate>::Command = command.into_command();
        match Payload::encode(&command) {
            Ok(command) => {
                let category = C::Aggregate::CATEGORY.into();
                self.and(Effect::Dispatch { category, command })
            }
            Err(error) => {
                self.broken.get_or_insert(error);
                self
            }
        }
    }

    /// These, then those.
    pub fn and_all(mut self, more: Self) -> Self {
        self.list.extend(more.list);
        self.broken = self.broken.or(more.broken);
        self
    }

    /// Sends a command that is written down already.
    pub(super) fn dispatch_stored(self, category: String, command: Payload) -> Self {
        self.and(Effect::Dispatch { category: category.into(), command })
    }

    /// Starts a timer, so long after the event, or after now where there is no event. It goes off
    /// once, then or later; one of the same name is replaced.
    pub fn start_timer(self, name: impl Into<String>, after: Duration) -> Self {
        self.and(Effect::StartTimer { name: name.into(), due: Due::After(after) })
    }

    /// Starts a timer that goes off at a moment, or later.
    pub fn start_timer_at(self, name: impl Into<String>, due: Timestamp) -> Self {
        self.and(Effect::StartTimer { name: name.into(), due: Due::At(due) })
    }

    /// Cancels a timer. Nothing happens when it is not there.
    pub fn cancel_timer(self, name: impl Into<String>) -> Self {
        self.and(Effect::CancelTimer { name: name.into() })
    }

    /// Takes back the commands to an aggregate that wait for an answer, also one that is on its way. Each either has
    /// taken effect, and its events come as ever, or never will, and is handed to
    /// [`on_rejected`](super::ProcessManager::on_rejected) as [revoked](RejectedCommand::is_revoked). For
    /// steps that take too long: paying back is safe only when the payment cannot arrive any more.
    pub fn revoke_commands<A: Aggregate>(self) -> Self {
        self.and(Effect::Revoke { category: A::CATEGORY })
    }

    /// Ends the instance: its timers are cancelled, commands that wait are still sent, later events
    /// are passed over.
    pub fn end(self) -> Self {
        self.and(Effect::End)
    }

    /// Leaves the instance to an operator, with the reason. Its later events wait.
    pub fn suspend(self, reason: impl Into<String>) -> Self {
        self.and(Effect::Suspend { reason: reason.into() })
    }
}

impl PartialEq for Effects {
    /// What cannot be written down equals nothing.
    fn eq(&self, other: &Self) -> bool {
        self.broken.is_none() && other.broken.is_none() && self.list == other.list
    }
}

/// A command of a process that its aggregate refused.
#[derive(Clone, Debug)]
pub struct RejectedCommand {
    pub(super) command: OutgoingCommand,
    pub(super) rejection: Rejection,
    pub(super) at: Timestamp,
}

/// What was said against a command.
#[derive(Clone, Debug)]
pub(super) enum Rejection {
    /// By the aggregate.
    Error(Arc<dyn std::error::Error + Send + Sync>),
    /// By a hook in front of it.
    Denied(String),
    /// It was taken back.
    Revoked,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Denied(reason) => reason.fmt(f),
            Self::Revoked => f.write_str("revoked"),
        }
    }
}

/// A timer that went off.
#[derive(Clone, Debug)]
pub struct Timeout {
    pub(super) name: String,
    pub(super) due: Timestamp,
    pub(super) at: Timestamp,
}

impl Timeout {
    /// The name it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it was to go off.
    #[must_use]
    pub const fn due(&self) -> Timestamp {
        self.due
    }

    /// When it went off, by the runtime's clock.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

impl RejectedCommand {
    /// Why, for people.
    #[must_use]
    pub fn reason(&self) -> String {
        self.rejection.to_string()
    }

    /// The aggregate's error, if it was one of this type.
    #[must_use]
    pub fn error<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.rejection {
            Rejection::Error(error) => error.downcast_ref(),
            Rejection::Denied(_) | Rejection::Revoked => None,
        }
    }

    /// Whether it was taken back by [`Effects::revoke_commands`].
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        matches!(self.rejection, Rejection::Revoked)
    }

    /// When it was refused, by the runtime's clock.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The command, if it was one for this aggregate.
    #[must_use]
    pub fn command<A: Aggregate>(&self) -> Option<A::Command> {
        if self.command.category != A::CATEGORY {
            return None;
        }
        self.command.command.decode().ok()
    }
}
