//! Read models: built from events, exactly once, and rebuilt while the old one stays live.
//!
//! A [`ReadModel`] has a name, a version and the events it is built from; a [`Projector`] writes
//! its rows in a read store. [`Projections`] runs projectors over an event store and a
//! [`ReadStore`], which may be different databases.
//!
//! Several nodes that run the same projectors share the work: each partition is leased to one of
//! them at a time, and moves to another within seconds if its node crashes. For each partition a
//! worker reads events after the checkpoint, applies them in a transaction that also moves the
//! checkpoint, and waits at the head of the log.
//!
//! Projectors, processes and event handlers are all *consumers*: they have a name, a checkpoint
//! and [`Health`], and the same operations on their handles. [`store`] is for those who implement
//! a read store.

mod builder;
mod consumers;
mod error;
mod health;
mod inline;
mod options;
mod policy;
mod projections;
mod projector;
mod read_model;
pub(crate) mod runtime;
pub mod store;
mod wait;
mod worker;

pub use builder::ProjectionsBuilder;
pub(crate) use consumers::{Consumers, consumer_operations};
pub use error::{
    ConsumerKind, OperatorError, ProjectError, RebuildError, StartError, UnknownConsumer,
};
pub use health::{ConsumerState, Health, PartitionHealth, Progress};
pub use inline::{InlineStore, InlineStoreBuilder, OpenError};
pub use options::ProjectorOptions;
pub use policy::{FailureAction, FailurePolicy};
pub use projections::Projections;
pub use projector::Projector;
pub use read_model::{Key, ReadModel};
pub use store::{ConsumerName, Failure, ParkedEvent, ReadStore};
pub use wait::{Waited, Waiter};
