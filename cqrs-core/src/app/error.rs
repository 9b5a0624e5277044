//! The errors of dispatching a command and of loading an aggregate.

use std::collections::BTreeMap;
use std::fmt;

use crate::aggregate::ReservationError;
use crate::{
    AppendError, CommandId, Conflict, InvalidName, InvalidUpcasters, ReadError, Retry, StoreError,
    StreamName,
};

/// The error of a dispatch. `E` is the aggregate's own error.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::app::DispatchError;
/// use cqrs_core::store::Retry;
/// use cqrs_core::{App, Version, error_chain};
/// use cqrs_memory::MemoryStore;
///
/// /// What a web service would answer.
/// fn status(error: &DispatchError<InsufficientFunds>) -> u16 {
///     match error {
///         DispatchError::Rejected(InsufficientFunds { .. }) => 422,
///         DispatchError::Denied(_) => 403,
///         DispatchError::InvalidId(_) => 400,
///         DispatchError::Conflict(_) => 409,
///         error if error.retry() != Retry::Never => 503,
///         error => {
///             eprintln!("{}", error_chain(error));
///             500
///         }
///     }
/// }
///
/// let app = App::new(MemoryStore::new());
/// let error = app.dispatch(withdraw("alice", 500)).await.unwrap_err();
/// assert_eq!((status(&error), error.to_string().as_str()), (422, "only 0 cents available"));
///
/// app.dispatch(deposit("alice", 500)).await?;
/// let stale = app.dispatch(withdraw("alice", 500)).expected_version(Version::new(9));
/// assert_eq!(status(&stale.await.unwrap_err()), 409);
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError<E: std::error::Error + 'static> {
    /// The aggregate rejected the command. Nothing was stored.
    #[error(transparent)]
    Rejected(E),
    /// A unique key that the decision reserves is not available. Nothing was stored.
    #[error(transparent)]
    Reservation(ReservationError),
    /// Middleware denied the command. Nothing was stored.
    #[error(transparent)]
    Denied(Denial),
    /// The aggregate's id cannot be part of a stream name. Nothing was stored.
    #[error(transparent)]
    InvalidId(InvalidId),
    /// The stream is not at the version that the caller requires. Nothing was stored, and the
    /// command was not decided again. Load the newer state and let the caller decide.
    #[error(transparent)]
    Conflict(Conflict),
    /// Other writers appended to the stream during every attempt. Nothing was stored. Dispatching
    /// again later can help.
    #[error("conflict on `{stream}` after {attempts} attempts")]
    TooManyAttempts {
        /// The aggregate's stream.
        stream: StreamName,
        /// The number of appends that were tried.
        attempts: u32,
        /// The last conflict. It names the stream of a unique key if another writer changed that
        /// one.
        #[source]
        conflict: Conflict,
    },
    /// The command id was already used for another command. Nothing was stored. Use a new id for each command.
    #[error("command id {command_id} was already used for another command")]
    CommandIdReused {
        /// The id.
        command_id: CommandId,
    },
    /// The aggregate could not be loaded. Nothing was stored.
    #[error("cannot load `{stream}`")]
    Read {
        /// The aggregate's stream.
        stream: StreamName,
        /// Why reading failed.
        source: ReadError,
    },
    /// The events could not be stored. Nothing was stored.
    #[error("cannot append to `{stream}`")]
    Append {
        /// The aggregate's stream.
        stream: StreamName,
        /// Why appending failed.
        source: AppendError,
    },
    /// The deadline passed before anything was sent to the store. Nothing was stored.
    #[error("the deadline passed before the command for `{stream}` was stored")]
    DeadlineExceeded {
        /// The aggregate's stream.
        stream: StreamName,
    },
    /// The deadline passed, the connection was lost, or user code panicked while the events were
    /// being stored: either all of them are stored or none. Dispatch again with the same command
    /// id to find out, which requires that the id was given with
    /// [`command_id`](super::Dispatch::command_id).
    #[error("the outcome of command {command_id} for `{stream}` is unknown")]
    OutcomeUnknown {
        /// The aggregate's stream.
        stream: StreamName,
        /// The command's id.
        command_id: CommandId,
        /// Why the answer of the store is missing.
        source: StoreError,
    },
    /// User code panicked while the command was being decided. Nothing was stored.
    #[error("a command for `{stream}` panicked: {message}")]
    Panicked {
        /// The aggregate's stream.
        stream: StreamName,
        /// The message of the panic.
        message: String,
    },
    /// An upcaster is missing for one of the aggregate's events. Nothing was read or stored. If the
    /// aggregate is registered with [`AppBuilder::aggregate`](super::AppBuilder::aggregate),
    /// building the application reports this first.
    #[error(transparent)]
    Misconfigured(InvalidUpcasters),
    /// Middleware answered with the outcome of another kind of aggregate, which is a mistake in the
    /// middleware. Nothing was stored.
    #[error("middleware answered a command for `{stream}` with another aggregate's outcome")]
    WrongAnswer {
        /// The aggregate's stream.
        stream: StreamName,
    },
}

impl<E: std::error::Error + 'static> DispatchError<E> {
    /// Returns whether dispatching the same command again can help. After
    /// [`OutcomeUnknown`](Self::OutcomeUnknown), only dispatch again with the same command id.
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
            | Self::WrongAnswer { .. } => Retry::Never,
            Self::TooManyAttempts { .. }
            | Self::DeadlineExceeded { .. }
            | Self::OutcomeUnknown { .. } => Retry::AfterDelay,
            Self::Read { source, .. } => source.retry(),
            Self::Append { source, .. } => source.retry(),
        }
    }

    /// Returns the aggregate's error if the aggregate rejected the command.
    #[must_use]
    pub const fn rejected(&self) -> Option<&E> {
        match self {
            Self::Rejected(error) => Some(error),
            _ => None,
        }
    }
}

/// An aggregate's id that cannot be part of a stream name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {id:?} for an aggregate of category `{category}`")]
#[non_exhaustive]
pub struct InvalidId {
    /// The aggregate's category.
    pub category: &'static str,
    /// The id as text, truncated to 64 characters.
    pub id: String,
    /// The rule that the id breaks.
    pub source: InvalidName,
}

impl InvalidId {
    pub(super) fn new(category: &'static str, id: &impl fmt::Display, source: InvalidName) -> Self {
        let mut text = String::new();
        // Unlike `to_string`, does not panic if the id's `Display` fails.
        let _ = fmt::write(&mut text, format_args!("{id}"));
        Self { category, id: text.chars().take(64).collect(), source }
    }
}

/// Why an aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The id cannot be part of a stream name.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// The events cannot be read.
    #[error("cannot load `{stream}`")]
    Read {
        /// The aggregate's stream.
        stream: StreamName,
        /// Why reading failed.
        source: ReadError,
    },
    /// The aggregate's `apply` panicked.
    #[error("applying the events of `{stream}` panicked: {message}")]
    Panicked {
        /// The aggregate's stream.
        stream: StreamName,
        /// The message of the panic.
        message: String,
    },
    /// An upcaster is missing for one of the aggregate's events.
    #[error(transparent)]
    Misconfigured(#[from] InvalidUpcasters),
}

/// Why middleware denied a command, for example a missing permission or an invalid field.
///
/// ```
/// use cqrs_core::app::Denial;
///
/// let denial = Denial::new("invalid request").field("amount", "must be positive");
/// assert_eq!(denial.to_string(), "invalid request; amount: must be positive");
/// assert_eq!(denial.fields["amount"], ["must be positive"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denial {
    /// The reason, as text for the user.
    pub reason: String,
    /// Messages about fields of the request, by field name.
    pub fields: BTreeMap<String, Vec<String>>,
}

impl Denial {
    /// Creates a denial with its reason.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), fields: BTreeMap::new() }
    }

    /// Adds a message about a field.
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
