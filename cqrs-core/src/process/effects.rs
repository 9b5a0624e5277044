//! What a process does, as data.

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

#[derive(Debug)]
pub(super) enum Effect {
    Dispatch { category: &'static str, command: Payload },
    StartTimer { name: String, due: Due },
    CancelTimer { name: String },
    End,
    Attention { reason: String },
}

#[derive(Clone, Copy, Debug)]
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
        let command: <C::Aggregate as Aggregate>::Command = command.into();
        match Payload::encode(&command) {
            Ok(command) => {
                let category = C::Aggregate::CATEGORY;
                self.and(Effect::Dispatch { category, command })
            }
            Err(error) => {
                self.broken.get_or_insert(error);
                self
            }
        }
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

    /// Ends the instance: its timers are cancelled, commands that wait are still sent, later events
    /// are passed over.
    pub fn end(self) -> Self {
        self.and(Effect::End)
    }

    /// Leaves the instance to an operator, with the reason. Its later events wait.
    pub fn attention(self, reason: impl Into<String>) -> Self {
        self.and(Effect::Attention { reason: reason.into() })
    }
}

/// A command of a process that its aggregate refused.
#[derive(Clone, Debug)]
pub struct Rejected {
    pub(super) command: OutgoingCommand,
    pub(super) reason: String,
}

impl Rejected {
    /// What the aggregate said.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
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
