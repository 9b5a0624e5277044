//! Errors of a store: one enum per operation, each over an opaque [`StoreError`].

use std::error::Error;
use std::fmt;

use crate::{
    CommandId, ConsumerName, DecodeError, EventId, ExpectedVersion, InvalidName, PayloadError,
    StreamName, Version,
};

/// Whether repeating a failed operation can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It fails again unless an operator or a developer intervenes.
    Never,
    /// It may succeed immediately.
    Immediately,
    /// It may succeed after a pause.
    AfterDelay,
}

/// What kind of failure a [`StoreError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached, or is starting or shutting down.
    Unavailable,
    /// The store did not answer in time, and the operation had no effect.
    Timeout,
    /// The store has no space left.
    Full,
    /// The stored data is inconsistent.
    Corrupt,
    /// The tables have not been created.
    SchemaMissing,
    /// The tables were created by an older version of this library and must be migrated.
    SchemaOutdated,
    /// Authentication failed, or a privilege is missing.
    PermissionDenied,
    /// The store does not support the operation.
    Unsupported,
    /// This program has closed the store.
    Closed,
    /// Any other failure, usually a bug.
    Internal,
}

/// A failure of a store.
///
/// Stores create it with a [kind](StoreErrorKind), a message and the cause. Callers match on
/// [`kind`](Self::kind), or only on [`retry`](Self::retry).
///
/// ```
/// use std::error::Error;
/// use cqrs_core::store::{Retry, StoreError, StoreErrorKind};
///
/// let cause = std::io::Error::other("connection refused");
/// let error = StoreError::new(StoreErrorKind::Unavailable, "no connection to the database")
///     .with_source(cause);
/// assert_eq!(error.to_string(), "no connection to the database");
/// assert_eq!(error.source().unwrap().to_string(), "connection refused");
/// assert_eq!(error.retry(), Retry::AfterDelay);
/// ```
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// Creates an error. The message is one line, lower case, without a full stop, and does not
    /// repeat the cause.
    #[must_use]
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Sets the cause, which [`source`](Error::source) returns.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind of failure.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns whether repeating the operation can succeed: after a pause if the store is
    /// unavailable, slow or full, otherwise never.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self.kind {
            StoreErrorKind::Unavailable | StoreErrorKind::Timeout | StoreErrorKind::Full => {
                Retry::AfterDelay
            }
            StoreErrorKind::Corrupt
            | StoreErrorKind::SchemaMissing
            | StoreErrorKind::SchemaOutdated
            | StoreErrorKind::PermissionDenied
            | StoreErrorKind::Unsupported
            | StoreErrorKind::Closed
            | StoreErrorKind::Internal => Retry::Never,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StoreError");
        debug.field("kind", &self.kind).field("message", &self.message);
        if let Some(source) = &self.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// The error of an append that was not stored because a stream is not at the expected version.
///
/// ```
/// use cqrs_core::store::{Conflict, ExpectedVersion, InvalidName, StreamName, Version};
///
/// let cart = StreamName::new("cart-7")?;
/// let expected = ExpectedVersion::Exact(Version::new(9));
/// let conflict = Conflict::new(cart, expected, Version::new(11));
/// assert_eq!(conflict.to_string(), "expected version 9 of `cart-7`, found 11");
/// # Ok::<(), InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The stream.
    pub stream: StreamName,
    /// The version the writer expected.
    pub expected: ExpectedVersion,
    /// The version of the stream; [`Version::ZERO`] if it has no events.
    pub actual: Version,
}

/// The expectation that a [`Conflict`] contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// The stream was expected to have no events, but has some.
    StreamExists,
    /// The stream was expected to exist, but has no events.
    StreamNotFound,
    /// The stream was expected at another version.
    WrongExpectedVersion,
}

impl Conflict {
    /// Creates a conflict, for implementations of [`EventStore`](super::EventStore).
    #[must_use]
    pub const fn new(stream: StreamName, expected: ExpectedVersion, actual: Version) -> Self {
        Self { stream, expected, actual }
    }

    /// Returns which expectation failed. It is
    /// [`WrongExpectedVersion`](ConflictKind::WrongExpectedVersion) for every exact version, even
    /// if the stream does not exist.
    #[must_use]
    pub const fn kind(&self) -> ConflictKind {
        match self.expected {
            ExpectedVersion::NoStream => ConflictKind::StreamExists,
            ExpectedVersion::StreamExists => ConflictKind::StreamNotFound,
            ExpectedVersion::Any | ExpectedVersion::Exact(_) => ConflictKind::WrongExpectedVersion,
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = &self.stream;
        match self.expected {
            ExpectedVersion::Exact(version) => {
                write!(f, "expected version {version} of `{stream}`")?
            }
            ExpectedVersion::NoStream => {
                return write!(f, "expected no stream `{stream}`, found version {}", self.actual);
            }
            ExpectedVersion::StreamExists => write!(f, "expected stream `{stream}`")?,
            ExpectedVersion::Any => write!(f, "expected any version of `{stream}`")?,
        }
        if self.actual == Version::ZERO {
            f.write_str(", found no events")
        } else {
            write!(f, ", found {}", self.actual)
        }
    }
}

impl Error for Conflict {}

/// Why an append was not stored, or may not have been stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream is not at the expected version. Nothing was stored. Read the new events and decide
    /// again.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// An event with this id is already stored, in another stream, in another order or with other
    /// events. Nothing was stored.
    #[error("event {id} is already stored in `{stream}`")]
    DuplicateEvent {
        /// The id of the event.
        id: EventId,
        /// The stream of the stored event.
        stream: StreamName,
    },
    /// The command id belongs to a command that was stored before, with another destination or
    /// content. Nothing was stored. Use a new id for each command.
    #[error("command id {id} was already used for another command")]
    CommandIdReused {
        /// The id.
        id: CommandId,
    },
    /// The append breaks a rule of every store. Nothing was stored.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
    /// The connection was lost before the store answered. Either everything was stored or nothing.
    /// To find out, append the same events with the same ids again.
    #[error("the outcome of the append is unknown; append the same events again to find out")]
    OutcomeUnknown(#[source] StoreError),
    /// An inline projector failed. Nothing was stored.
    #[error("inline projector `{projector}` failed")]
    Projection {
        /// The projector.
        projector: ConsumerName,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store failed. Nothing was stored.
    #[error("appending events failed")]
    Store(#[from] StoreError),
}

impl AppendError {
    /// Returns whether appending the same value again can succeed. After a conflict it cannot; make
    /// a new decision first.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Conflict(_)
            | Self::DuplicateEvent { .. }
            | Self::CommandIdReused { .. }
            | Self::Invalid(_)
            | Self::Projection { .. } => Retry::Never,
            Self::OutcomeUnknown(_) => Retry::AfterDelay,
            Self::Store(error) => error.retry(),
        }
    }
}

/// Why an [`Append`](super::Append) is invalid in every store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAppend {
    /// The append has no stream.
    #[error("the append has no stream")]
    NoStream,
    /// The name of a stream is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The payload of an event or a state cannot be stored.
    #[error("the payload of an event or a state cannot be stored")]
    Payload(#[from] PayloadError),
    /// The append lists a stream twice. Put its events into one
    /// [`StreamAppend`](super::StreamAppend).
    #[error("the append lists stream `{stream}` twice")]
    RepeatedStream {
        /// The stream.
        stream: StreamName,
    },
    /// Two events of the append have the same id.
    #[error("the append lists event {id} twice")]
    RepeatedEvent {
        /// The id of the event.
        id: EventId,
    },
    /// The schema version of an event is 0 or higher than
    /// [`MAX_SCHEMA_VERSION`](super::MAX_SCHEMA_VERSION).
    #[error("the schema version of event {id} is not between 1 and {}", super::MAX_SCHEMA_VERSION)]
    SchemaVersion {
        /// The id of the event.
        id: EventId,
    },
    /// The append is larger than [`MAX_APPEND_BYTES`](super::MAX_APPEND_BYTES). Split it.
    #[error("the append has {bytes} bytes, more than the limit of {}", super::MAX_APPEND_BYTES)]
    TooLarge {
        /// The payloads of all events and states together, in bytes.
        bytes: usize,
    },
    /// The metadata of an event cannot be stored.
    #[error("the metadata of event {id} cannot be stored")]
    Metadata {
        /// The id of the event.
        id: EventId,
        /// The cause.
        #[source]
        source: PayloadError,
    },
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream has no events.
    #[error("stream `{stream}` not found")]
    StreamNotFound {
        /// The stream.
        stream: StreamName,
    },
    /// An event cannot be decoded. Reading again fails again; an [upcaster](crate::upcast) or a
    /// newer version of the program helps.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The store failed.
    #[error("reading events failed")]
    Store(#[from] StoreError),
}

impl ReadError {
    /// Returns whether the same read can succeed later.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::StreamNotFound { .. } | Self::Decode(_) => Retry::Never,
            Self::Store(error) => error.retry(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_reports_the_expected_and_the_actual_version() {
        let message = |expected, actual| {
            let stream = StreamName::new("a-1").unwrap();
            Conflict::new(stream, expected, Version::new(actual)).to_string()
        };
        let exact = ExpectedVersion::Exact(Version::new(9));
        assert_eq!(message(exact, 1), "expected version 9 of `a-1`, found 1");
        assert_eq!(message(exact, 0), "expected version 9 of `a-1`, found no events");
        let none = ExpectedVersion::NoStream;
        assert_eq!(message(none, 3), "expected no stream `a-1`, found version 3");
        let some = ExpectedVersion::StreamExists;
        assert_eq!(message(some, 0), "expected stream `a-1`, found no events");
    }
}
