#![doc = include_str!("guide.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

// Listed, so that nothing becomes public by accident.
#[cfg(feature = "derive")]
pub use cqrs_core::Id;
pub use cqrs_core::{
    Aggregate, App, Command, CommandId, Dispatch, Effects, Event, EventHandler, EventId,
    EventStore, EventStoreExt, ExpectedVersion, Metadata, Outcome, Position, ProcessManager,
    Processes, Projections, Projector, ReadModel, Recorded, StreamName, Timestamp, Upcasters,
    Version, aggregate, app, error_chain, event, process, projection, repository, store,
    subscription, upcast,
};
#[cfg(feature = "memory")]
pub use cqrs_memory as memory;
#[cfg(feature = "postgres")]
pub use cqrs_postgres as postgres;
#[cfg(feature = "testing")]
pub use cqrs_testing as testing;

/// The items at the root of the crate, for `use cqrs::prelude::*`. Brings the methods of
/// [`EventStoreExt`] into scope.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs::{memory::MemoryStore, prelude::*, store::Read};
///
/// let store = MemoryStore::new();
/// assert!(store.read(Read::all()).await?.collect().await?.is_empty());
/// # Ok(()) }
/// ```
pub mod prelude {
    #[cfg(feature = "derive")]
    pub use crate::Id;
    pub use crate::{
        Aggregate, App, Command, CommandId, Dispatch, Effects, Event, EventHandler, EventId,
        EventStore, EventStoreExt, ExpectedVersion, Metadata, Outcome, Position, ProcessManager,
        Processes, Projections, Projector, ReadModel, Recorded, StreamName, Timestamp, Upcasters,
        Version, error_chain,
    };
}

/// What the derives expand to; not part of the API.
#[doc(hidden)]
pub use cqrs_core::private;

/// Compiles and runs the README's examples.
#[cfg(all(doctest, feature = "memory", feature = "derive"))]
#[doc = include_str!("../README.md")]
struct Readme;
