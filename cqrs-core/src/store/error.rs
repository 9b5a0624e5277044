//! What can go wrong in a store, one enum per operation over one opaque [`StoreError`].

use std::error::Error;
use std::fmt;

use crate::{
    CommandId, ConsumerName, DecodeError, EventId, ExpectedVersion, InvalidName, PayloadError,
    StreamName, Version,
};

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It fails again until somebody changes something.
    Never,
    /// It may succeed at once, against the state as it is now.
    Immediately,
    /// It may succeed after a pause.
    AfterDelay,
}

/// The trouble a store is in, as far as a program can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It cannot be reached, or it is shutting down or starting.
    Unavailable,
    /// It did not answer in time, and what was asked did not happen.
    Timeout,
    /// It has no room left.
    Full,
    /// What it holds contradicts itself.
    Corrupt,
    /// Its tables have not been created.
    SchemaMissing,
    /// Its tables are older than this program.
    SchemaOutdated,
    /// It refuses the password or the right to do this.
    PermissionDenied,
    /// It cannot do this, now or ever.
    Unsupported,
    /// It was closed by this program.
    Closed,
    /// Anything else: a defect here or there.
    Internal,
}

/// Failure in the store that a caller can log, and perhaps wait out.
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// Says what happened in one line, without a full stop.
    #[must_use]
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Attaches the error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of trouble.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether doing the same again can help.
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

/// A stream was not at the version a writer expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{stream}` is at version {actual}, expected was {expected}")]
#[non_exhaustive]
pub struct Conflict {
    /// The stream.
    pub stream: StreamName,
    /// What the writer expected.
    pub expected: ExpectedVersion,
    /// Where the stream really is; [`Version::ZERO`] when it does not exist.
    pub actual: Version,
}

/// The three ways of being wrong about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// No stream was expected, and there is one.
    StreamExists,
    /// A stream was expected, and there is none.
    StreamNotFound,
    /// Another version was expected.
    WrongExpectedVersion,
}

impl Conflict {
    /// What was expected and what is.
    #[must_use]
    pub const fn new(stream: StreamName, expected: ExpectedVersion, actual: Version) -> Self {
        Self { stream, expected, actual }
    }

    /// Which of the three it is. Naming an exact version is always
    /// [`WrongExpectedVersion`](ConflictKind::WrongExpectedVersion).
    #[must_use]
    pub const fn kind(&self) -> ConflictKind {
        match self.expected {
            ExpectedVersion::NoStream => ConflictKind::StreamExists,
            ExpectedVersion::StreamExists => ConflictKind::StreamNotFound,
            ExpectedVersion::Any | ExpectedVersion::Exact(_) => ConflictKind::WrongExpectedVersion,
        }
    }
}

/// Why an append stored nothing, or may have stored something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream was at another version. Nothing was stored. Read what was missed and decide again.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// An event with this id is already stored in another place or company. Nothing was stored.
    #[error("event {id} is already stored in `{stream}`")]
    DuplicateEvent {
        /// The id.
        id: EventId,
        /// Where the stored one is.
        stream: StreamName,
    },
    /// The command id was used before for another command. Nothing was stored.
    #[error("command id {id} was used before for another command")]
    CommandIdReused {
        /// The id.
        id: CommandId,
    },
    /// The append breaks a rule that holds for every store. Nothing was stored.
    #[error("the append is not valid")]
    Invalid(#[from] InvalidAppend),
    /// The connection was lost between sending and the answer: everything was stored, or nothing.
    /// Append the same events with the same ids again to learn which.
    #[error("the outcome of the append is unknown")]
    OutcomeUnknown(#[source] StoreError),
    /// A projector that goes along with the append failed. Nothing was stored.
    #[error("inline projector `{projector}` failed")]
    Projection {
        /// The projector.
        projector: ConsumerName,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store failed. Nothing was stored.
    #[error("the store did not append")]
    Store(#[from] StoreError),
}

impl AppendError {
    /// Whether appending the very same value again can help. A conflict needs a new decision
    /// first.
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

/// A rule that an append breaks in every store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAppend {
    /// It names no stream.
    #[error("it names no stream")]
    NoStream,
    /// A stream's name is refused.
    #[error("a stream's name is refused")]
    Name(#[from] InvalidName),
    /// An event's content cannot be stored.
    #[error("an event's content cannot be stored")]
    Payload(#[from] PayloadError),
    /// It names a stream twice; put the events into one list.
    #[error("it names `{stream}` twice")]
    RepeatedStream {
        /// The stream.
        stream: StreamName,
    },
    /// Two of its events have the same id.
    #[error("it contains event {id} twice")]
    RepeatedEvent {
        /// The id.
        id: EventId,
    },
    /// An event's schema version is 0 or beyond [`MAX_SCHEMA_VERSION`](super::MAX_SCHEMA_VERSION).
    #[error("the schema version of event {id} is not between 1 and 2147483647")]
    SchemaVersion {
        /// The event.
        id: EventId,
    },
    /// It is larger than [`MAX_APPEND_BYTES`](super::MAX_APPEND_BYTES). Cut it into several.
    #[error("it has {bytes} bytes, the limit is {}", super::MAX_APPEND_BYTES)]
    TooLarge {
        /// The payloads of its events and states together.
        bytes: usize,
    },
    /// An event's metadata cannot be stored.
    #[error("the metadata of event {id} cannot be stored")]
    Metadata {
        /// The event.
        id: EventId,
        /// What is wrong with it.
        #[source]
        source: PayloadError,
    },
}

/// Why a read gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such stream.
    #[error("there is no stream `{stream}`")]
    StreamNotFound {
        /// The stream.
        stream: StreamName,
    },
    /// An event cannot be read as what it should be. Reading again cannot help.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The store failed.
    #[error("the store did not answer the read")]
    Store(#[from] StoreError),
}

impl ReadError {
    /// Whether the same read can succeed later without anybody's help.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::StreamNotFound { .. } | Self::Decode(_) => Retry::Never,
            Self::Store(error) => error.retry(),
        }
    }
}
