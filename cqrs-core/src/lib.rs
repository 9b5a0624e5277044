//! The core of the `cqrs` crates: traits for domain code, the traits that stores implement, and the
//! code that runs commands, read models and processes on top of them. It depends on no database.
//!
//! Applications depend on the facade crate `cqrs`, whose front page is the guide. This page is for
//! authors of stores, adapters, and domain crates that need few dependencies.
//!
//! # Vocabulary
//!
//! | term | meaning |
//! |---|---|
//! | event | a fact, stored under a name and a schema version; never changed |
//! | stream | the events of one aggregate, numbered by *version* from 1 |
//! | log | all events of a store, numbered by *position* from 1 in the order of commits |
//! | category | the first part of a stream's name: `account` of `account-7` |
//! | aggregate | decides commands; its state is computed from the events of its stream |
//! | command | a request to one aggregate, which answers with events or rejects it |
//! | rejected, denied, invalid | a command is rejected by its aggregate, denied by middleware, or invalid because it is malformed |
//! | unique key | a value that only one aggregate may hold at a time, such as an e-mail address |
//! | expected version | the version a stream must have for an append to succeed |
//! | node | a running copy of the application; several nodes share the work of consumers |
//! | consumer | reads the log under a name and has a checkpoint and a health: a projector, a process or a handler |
//! | checkpoint | the position up to which a consumer has handled the log |
//! | lag | the number of positions between a consumer's checkpoint and the end of the log |
//! | partition | a share of a consumer's keys, processed by one node at a time |
//! | lease | the exclusive right to run a subscription or a partition of a consumer, for a limited time |
//! | projector | writes a *read model*: data in the shape that queries need |
//! | generation | one build of a read model; a rebuild creates a new one next to the live one |
//! | process manager, process | reacts to events over time with commands and timers; has one *instance* per case, such as one transfer |
//! | handler | reacts to each event on its own, without state |
//! | suspended instance | an instance that waits until an operator resumes or ends it |
//! | scheduled, recurring command | a command that is sent once at a given time, or at each tick |
//! | parked event | an event whose handling failed, set aside with the later events of its key until an operator retries it; elsewhere a dead letter |
//! | upcaster | converts old events to their current version on read |
//! | snapshot | a stored copy of an aggregate's state at a version; loading then reads only later events |
//!
//! # Modules
//!
//! | module | for |
//! |---|---|
//! | [`aggregate`](mod@aggregate), [`event`] | domain code: [`Aggregate`], [`Command`], [`Event`] |
//! | [`app`] | dispatching commands: [`App`], middleware, errors |
//! | [`repository`] | loading and saving aggregates, snapshots |
//! | [`store`] | the event store: [`EventStore`], appends, reads |
//! | [`subscription`] | following the log, once or under a name |
//! | [`projection`] | read models: [`Projector`], [`Projections`] |
//! | [`process`] | processes and handlers: [`ProcessManager`], [`EventHandler`], [`Processes`] |
//! | [`upcast`] | old events: [`Upcasters`] |
//!
//! # Writing a store
//!
//! | to store | implement |
//! |---|---|
//! | events | [`EventStore`] |
//! | checkpoints of durable subscriptions | [`subscription::CheckpointStore`] |
//! | snapshots | [`store::SnapshotStore`] |
//! | current states of aggregates | [`store::StateStore`] |
//! | read models | [`projection::ReadStore`] |
//! | processes | [`process::ProcessStore`] |
//!
//! Each trait documents the rules it must keep. `cqrs-testing` checks them: its macro `conformance!`
//! runs one test per rule against a store, and `read_store_conformance!` against a read store.
//! `cqrs-memory` is the reference implementation.
//!
//! An `EventStore` can also wrap another one, as [`upcast::Upcasting`] does.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod aggregate;
pub mod app;
mod command;
pub mod event;
mod failures;
mod id;
mod metadata;
mod names;
mod panics;
mod payload;
mod position;
pub mod process;
pub mod projection;
pub mod repository;
mod snapshot;
mod state;
pub mod store;
pub mod subscription;
mod time;
pub mod upcast;

pub use aggregate::Aggregate;
pub use app::{App, Dispatch, Outcome};
pub use command::Command;
#[cfg(feature = "derive")]
pub use cqrs_macros::{Command, Event, Id, ReadModel, aggregate};
pub use event::{Event, Recorded};
pub use failures::error_chain;
pub use id::{CommandId, CorrelationId, EventId};
pub use metadata::Metadata;
pub use names::StreamName;
pub use position::{ExpectedVersion, Position, Version};
pub use process::{Effects, EventHandler, ProcessManager, Processes};
pub use projection::{Projections, Projector, ReadModel};
pub use store::{EventStore, EventStoreExt};
pub use time::Timestamp;
pub use upcast::Upcasters;

// Shorter paths for the modules of this crate.
pub(crate) use app::DispatchError;
pub(crate) use event::{DecodeError, DecodeFailure, EventType, NewEvent, RawEvent, RecordedEvent};
pub(crate) use id::{CausationId, IdGenerator, RandomIds};
pub(crate) use names::{Category, ConsumerName, EventName, InvalidName};
pub(crate) use payload::{Payload, PayloadError};
pub(crate) use projection::{Waited, Waiter};
pub(crate) use repository::{Changes, Loaded};
pub(crate) use snapshot::{Snapshot, SnapshotStore};
pub(crate) use state::{State, StateStore};
pub(crate) use store::{
    Append, AppendError, Appended, AppendedStream, CommandKey, Conflict, Direction, InvalidAppend,
    ReadError, Retry, StoreError, StoreErrorKind, StreamAppend, StreamRead,
};
pub(crate) use subscription::{CheckpointStore, DurableOptions, DurableSubscription};
pub(crate) use time::{Clock, SystemClock};
pub(crate) use upcast::{InvalidUpcasters, UpcastFailure, Upcasting};

/// Items that the derives expand to; not part of the API.
#[doc(hidden)]
pub mod private {
    pub use crate::event::{
        DecodeFailure, EventType, Payload, PayloadError, concat_types, contains_name, count_types,
        names_are_unique,
    };
    pub use crate::id::random_uuid;
    pub use crate::names::{InvalidName, check_id, is_category, is_consumer_name, parse_uuid};
    pub use serde;
}
