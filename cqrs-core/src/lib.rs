//! The vocabulary of CQRS and event sourcing.
//!
//! Most users depend on the facade crate `cqrs`, whose front page is the guide. This crate holds
//! the parts: the [`Aggregate`], [`Command`] and [`Event`] traits of domain code, and the ports
//! [`EventStore`], [`SnapshotStore`] and [`StateStore`] of backends. It knows no database.

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
pub use cqrs_macros::{Command, Event, Id, aggregate};
pub use event::{Event, Recorded};
pub use failures::error_chain;
pub use id::{CommandId, CorrelationId, EventId};
pub use metadata::Metadata;
pub use names::StreamName;
pub use position::{ExpectedVersion, Position, Version};
pub use process::{Effects, EventHandler, ProcessManager, Processes};
pub use projection::{Projections, Projector};
pub use store::{EventStore, EventStoreExt};
pub use time::Timestamp;
pub use upcast::Upcasters;

// What the modules of this crate take from each other.
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
    Append, AppendError, Appended, AppendedStream, CommandKey, Conflict, Direction, Filter,
    InvalidAppend, ReadError, Retry, StoreError, StoreErrorKind, StreamAppend, StreamRead,
};
pub(crate) use subscription::{CheckpointStore, DurableOptions, DurableSubscription};
pub(crate) use time::{Clock, SystemClock};
pub(crate) use upcast::{InvalidUpcasters, UpcastFailure, Upcasting};

/// What the derives expand to; not part of the API.
#[doc(hidden)]
pub mod private {
    pub use crate::event::{
        DecodeFailure, EventType, Payload, PayloadError, concat_types, contains_name, count_types,
        names_are_unique,
    };
    pub use crate::id::random_uuid;
    pub use crate::names::{InvalidName, check_id, is_category, parse_uuid};
    pub use serde;
}
