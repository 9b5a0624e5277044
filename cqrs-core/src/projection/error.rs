//! Why consumers do not start, or why an operator's request fails.

use std::fmt;

use crate::names::ConsumerName;
use crate::{InvalidUpcasters, ReadError, StoreError};

/// Why a projector failed on an event: any error, or text.
pub type ProjectError = Box<dyn std::error::Error + Send + Sync>;

/// The kinds of consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConsumerKind {
    /// A [`Projector`](crate::Projector), which writes a read model.
    Projector,
    /// A [`ProcessManager`](crate::ProcessManager), which reacts with commands and keeps state.
    Process,
    /// An [`EventHandler`](crate::EventHandler), which reacts without state.
    Handler,
}

impl fmt::Display for ConsumerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Projector => "projector",
            Self::Process => "process",
            Self::Handler => "handler",
        })
    }
}

/// There is no consumer of this name.
///
/// ```
/// use cqrs_core::Projections;
/// use cqrs_memory::{MemoryReadStore, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Projections::builder_over(MemoryStore::new(), MemoryReadStore::new());
/// let projections = builder.start().await?;
/// let unknown = projections.pause("typo").await.unwrap_err();
/// assert_eq!(unknown.to_string(), "no projector `typo`");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} `{name}`")]
#[non_exhaustive]
pub struct UnknownConsumer {
    /// What was looked for. [`Processes`](crate::Processes) look for processes and handlers, and
    /// report [`ConsumerKind::Process`].
    pub kind: ConsumerKind,
    /// The name.
    pub name: String,
}

/// Why [`ProjectionsBuilder::start`](super::ProjectionsBuilder::start) or
/// [`ProcessesBuilder::start`](crate::process::ProcessesBuilder::start) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Two consumers have the same name. Rename one of them.
    #[error("{kind} `{name}` has the name of another consumer")]
    DuplicateName {
        /// The kind of the second one.
        kind: ConsumerKind,
        /// The name.
        name: ConsumerName,
    },
    /// An event type of the consumer has earlier versions that the [`App`](crate::App) has no
    /// upcasters for. Add them with [`AppBuilder::upcasters`](crate::app::AppBuilder::upcasters).
    #[error("{kind} `{name}` cannot read earlier versions of its events")]
    Upcasters {
        /// The kind of the consumer.
        kind: ConsumerKind,
        /// Its name.
        name: ConsumerName,
        /// The upcaster that is missing.
        #[source]
        source: InvalidUpcasters,
    },
    /// A process declares no aggregate to send commands to. Add them with
    /// [`Destinations::to`](crate::process::Destinations::to), or return
    /// [`Destinations::none`](crate::process::Destinations::none).
    #[error("process `{process}` has no destinations")]
    NoDestinations {
        /// The name of the process.
        process: String,
    },
    /// A process sends commands to two aggregates of the same category.
    #[error("process `{process}` has two destinations of category `{category}`")]
    DuplicateDestination {
        /// The name of the process.
        process: String,
        /// The category.
        category: &'static str,
    },
    /// The events of an aggregate that a process sends commands to have earlier versions that the
    /// [`App`](crate::App) has no upcasters for. Add them with
    /// [`AppBuilder::upcasters`](crate::app::AppBuilder::upcasters).
    #[error(
        "process `{process}`: aggregate `{category}` cannot read earlier versions of its events"
    )]
    DestinationUpcasters {
        /// The name of the process.
        process: String,
        /// The category of the aggregate.
        category: &'static str,
        /// The upcaster that is missing.
        #[source]
        source: InvalidUpcasters,
    },
    /// The consumer failed to create its tables.
    #[error("{kind} `{name}` cannot create its tables")]
    Create {
        /// The kind of the consumer.
        kind: ConsumerKind,
        /// Its name.
        name: ConsumerName,
        /// The error it returned.
        #[source]
        source: ProjectError,
    },
    /// The event store or the read store failed.
    #[error("store failed while consumers were starting")]
    Store(#[from] StoreError),
}

/// Why [`Projections::rebuild`](crate::Projections::rebuild) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// There is no projector of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownConsumer),
    /// The read model is being built already. Its health reports the progress.
    #[error("read model `{name}` is being built already")]
    AlreadyBuilding {
        /// The name of the projector.
        name: ConsumerName,
    },
    /// The rebuild could not be started.
    #[error("cannot start to rebuild read model `{name}`")]
    Start {
        /// The name of the projector.
        name: ConsumerName,
        /// Why.
        #[source]
        source: StartError,
    },
}

/// Why an operator's request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is no consumer of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownConsumer),
    /// The event store or the read store failed.
    #[error("store failed")]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("cannot read the log")]
    Read(#[from] ReadError),
}
