//! The vocabulary of CQRS and event sourcing.
//!
//! Most users depend on the facade crate `cqrs`, whose front page is the guide. This crate holds
//! the parts: the [`Aggregate`], [`Command`] and [`Event`] traits of domain code, and the ports
//! [`EventStore`], [`SnapshotStore`] and [`StateStore`] of backends. It knows no database.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod aggregate;
pub mod app;
mod command;
mod durable;
mod event;
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
mod time;
pub mod upcast;

pub use aggregate::{Aggregate, Steps};
pub use app::{
    App, AppBuilder, BuildError, CachePolicy, CommandContext, Denial, Dispatch, DispatchError,
    Done, Flow, LoadError, Middleware, Outcome, Persistence, Reference, ReservationError,
    Reservations,
};
pub use command::Command;
#[cfg(feature = "derive")]
pub use cqrs_macros::{Command, Event};
pub use durable::{
    AckError, Acks, Checkpoint, CheckpointError, CheckpointStore, Claim, ClaimError, Durable,
    DurableError, DurableSubscription, SubscriptionName, UnexpectedAck,
};
pub use event::{
    DecodeError, DecodeFailure, Event, EventType, InvalidEvent, NewEvent, RawEvent, Recorded,
    RecordedEvent,
};
pub use id::{CausationId, CommandId, CorrelationId, EventId, IdGenerator, RandomIds};
pub use metadata::Metadata;
pub use names::{
    Category, EventName, InvalidName, MAX_CATEGORY_BYTES, MAX_EVENT_NAME_BYTES,
    MAX_PROJECTOR_NAME_BYTES, MAX_STREAM_NAME_BYTES, ProjectorName, StreamName,
};
pub use payload::{MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, Payload, PayloadError};
pub use position::{ExpectedVersion, Position, Version};
pub use process::{
    Destinations, Effects, EventHandler, HandlerContext, HandlerError, HandlerOptions, Instance,
    InstanceQuery, InstanceStatus, Missed, NotCancelled, Plan, PlanError, Planner, ProcessManager,
    ProcessOptions, ProcessStore, Processes, Rejected, Route, Schedule, Timeout,
};
pub use projection::{
    AppendProjecting, FailurePolicy, Health, InlineStore, LeaseError, OpenError, OperatorError,
    ParkedEvent, ProjectError, Projections, Projector, ProjectorOptions, ProjectorState, ReadStore,
    RebuildError, StartError, Then, UnknownProjector, Waited, Waiter,
};
pub use repository::{
    AsOf, Changes, EventSourced, Loaded, Past, Repository, SnapshotPolicy, StateStored,
};
pub use snapshot::{Snapshot, SnapshotStore};
pub use state::{SaveStateError, State, StateStore, StoredState};
pub use store::{
    Append, AppendError, Appended, AppendedStream, CommandKey, CommandRecord, Conflict,
    ConflictKind, DEFAULT_PAGE_SIZE, Direction, EventStore, EventStoreExt, Filter, InvalidAppend,
    LogRead, MAX_APPEND_BYTES, MAX_SCHEMA_VERSION, Page, Pages, ReadError, Retry, Start,
    StoreError, StoreErrorKind, StreamAppend, StreamInfo, StreamListing, StreamOrder, StreamQuery,
    StreamRead, Subscribe, Subscription,
};
pub use time::{Clock, InvalidTimestamp, SystemClock, Timestamp};
pub use upcast::{InvalidUpcasters, UpcastFailure, Upcasters, Upcasting};
// What implementations of the ports and of `Projector` are marked with.
pub use async_trait::async_trait;
// Ids are made of it, so domain code need not depend on `uuid` to name its own.
pub use uuid::Uuid;

/// What the derives expand to; not for people.
#[doc(hidden)]
pub mod private {
    pub use crate::event::{concat_types, contains_name, count_types, names_are_unique};
    pub use crate::names::is_category;
    pub use serde;
}
