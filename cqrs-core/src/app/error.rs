//! Why a command did not take effect, or may have.

use std::collections::BTreeMap;
use std::fmt;

use crate::aggregate::ReservationError;
use crate::{
    AppendError, CommandId, Conflict, InvalidName, InvalidUpcasters, ReadError, Retry, StoreError,
};

/// The outcome of a dispatch that is not an [`Outcome`](super::Outcome). `E` is the aggregate's
/// own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError<E: std::error::Error + 'static> {
    /// The aggregate refused. Nothing was stored.
    #[error(transparent)]
    Rejected(E),
    /// What the decision reserves is not to be had. Nothing was stored.
    #[error(transparent)]
    Reservation(ReservationError),
    /// A middleware refused. Nothing was stored.
    #[error(transparent)]
    Denied(Denial),
    /// The aggregate's id cannot be part of a stream's name. Nothing was stored.
    #[error("the aggregate's id is refused")]
    InvalidId(#[source] InvalidName),
    /// The stream is not at the version the caller asked for. Nothing was stored, and the command
    /// was not decided again. Show the caller the newer state.
    #[error(transparent)]
    Conflict(Conflict),
    /// Others were faster each time. Nothing was stored. Dispatching again later may help.
    #[error("others were faster {attempts} times")]
    TooManyAttempts {
        /// How many times an append was tried.
        attempts: u32,
        /// The last conflict.
        #[source]
        conflict: Conflict,
    },
    /// The command id was used before for another command. Nothing was stored.
    #[error("command id {command_id} was used before for another command")]
    CommandIdReused {
        /// The id.
        command_id: CommandId,
    },
    /// The aggregate cannot be loaded. Nothing was stored.
    #[error("the aggregate cannot be loaded")]
    Read(#[source] ReadError),
    /// The events cannot be stored. Nothing was stored.
    #[error("the events cannot be stored")]
    Append(#[source] AppendError),
    /// The deadline passed before anything was sent to the store. Nothing was stored.
    #[error("the deadline passed before the command was stored")]
    DeadlineExceeded,
    /// The deadline passed, the connection was lost, or user code panicked while the events were
    /// on their way: they are stored, all or none. Dispatch again with the same command id to learn the outcome;
    /// it is only remembered if the id had been given with
    /// [`command_id`](super::Dispatch::command_id).
    #[error("the outcome of command {command_id} is unknown")]
    OutcomeUnknown {
        /// The command's id.
        command_id: CommandId,
        /// What was lost.
        #[source]
        source: StoreError,
    },
    /// User code panicked while the command was decided. Nothing was stored.
    #[error("user code panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// An upcaster is missing for one of the aggregate's events. Nothing was read or stored.
    /// Naming the aggregate to the [`AppBuilder`](super::AppBuilder) finds this at start.
    #[error("the application is not complete")]
    Misconfigured(#[source] InvalidUpcasters),
    /// A middleware answered with the outcome of another kind of aggregate.
    #[error("a middleware answered for another aggregate")]
    WrongAnswer,
}

impl<E: std::error::Error + 'static> DispatchError<E> {
    /// Whether dispatching the same command again can help. After
    /// [`OutcomeUnknown`](Self::OutcomeUnknown) only under the same command id.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Rejected(_)
            | Self::Denied(_)
            | Self::Reservation(_)
            | Self::InvalidId(_)
            | Self::Conflict(_)
            | Self::CommandIdReused { .. }
            | Self::Panicked { .. }
            | Self::Misconfigured(_)
            | Self::WrongAnswer => Retry::Never,
            Self::TooManyAttempts { .. } | Self::DeadlineExceeded | Self::OutcomeUnknown { .. } => {
                Retry::AfterDelay
            }
            Self::Read(error) => error.retry(),
            Self::Append(error) => error.retry(),
        }
    }

    /// The aggregate's refusal, if that is what it is.
    #[must_use]
    pub const fn rejected(&self) -> Option<&E> {
        match self {
            Self::Rejected(error) => Some(error),
            _ => None,
        }
    }
}

/// Why an aggregate could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Its id cannot be part of a stream's name.
    #[error("the aggregate's id is refused")]
    InvalidId(#[source] InvalidName),
    /// Its events cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its `apply` panicked.
    #[error("user code panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// An upcaster is missing for one of its events.
    #[error("the application is not complete")]
    Misconfigured(#[source] InvalidUpcasters),
}

/// A refusal from outside the domain: not allowed, not well formed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denial {
    /// Why, for people.
    pub reason: String,
    /// What is wrong with which field of the request.
    pub fields: BTreeMap<String, Vec<String>>,
}

impl Denial {
    /// A refusal with its reason.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), fields: BTreeMap::new() }
    }

    /// Adds a message for a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, message: impl Into<String>) -> Self {
        self.fields.entry(name.into()).or_default().push(message.into());
        self
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        for (field, messages) in &self.fields {
            write!(f, "; {field}: {}", messages.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}
