//! The event store: one log of many streams.
//!
//! [`EventStore`] is the contract between a backend and this library: few methods, each with its
//! rules under `# Behavior`. The conformance suite of `cqrs-testing` has a case for each rule.
//! [`EventStoreExt`] adds the methods that users call: [`read`](EventStoreExt::read),
//! [`subscribe`](EventStoreExt::subscribe) and others.
//!
//! - To append, build an [`Append`]; to read, build a [`Read`].
//! - A backend can also implement [`SnapshotStore`], for aggregates with snapshots, and
//!   [`StateStore`], for aggregates whose current state is stored as a row.

mod append;
mod error;
mod event_stream;
mod ext;
mod filter;
mod list;
mod pages;
mod read;
mod request;

pub use crate::names::{
    Category, InvalidName, MAX_CATEGORY_BYTES, MAX_STREAM_NAME_BYTES, StreamName,
};
pub use crate::position::{ExpectedVersion, Position, Version};
pub use crate::snapshot::{Snapshot, SnapshotStore};
pub use crate::state::{SaveStateError, State, StateStore, StoredState};
pub use append::{
    Append, Appended, AppendedStream, CommandKey, CommandRecord, MAX_APPEND_BYTES,
    MAX_SCHEMA_VERSION, StreamAppend,
};
/// The attribute that implementations of the traits of this module need.
pub use async_trait::async_trait;
pub use error::{
    AppendError, Conflict, ConflictKind, InvalidAppend, ReadError, Retry, StoreError,
    StoreErrorKind,
};
pub use event_stream::EventStream;
pub use ext::EventStoreExt;
pub use filter::Filter;
pub use list::{StreamInfo, StreamListing, StreamOrder, StreamQuery};
pub use pages::{DEFAULT_PAGE_SIZE, Direction, LogRead, Page, Pages, StreamRead};
pub use read::{OneStream, Read, WholeLog};

use std::sync::Arc;

use crate::{CommandId, Timestamp};

/// An append-only log of events in streams.
///
/// Implemented by backends and by wrappers around them. Applications hold it as an
/// `Arc<dyn EventStore>`. There are no provided methods, so that a wrapper cannot forget to forward
/// one. [`EventStoreExt`] adds methods for users.
///
/// # Order
/// Positions are dense and final: if position *n* can be read, then 1 to *n* can be read, and no
/// event will be inserted among them. Versions are dense in each stream. The events of one append
/// to a stream have contiguous versions, and all events of an append have contiguous positions.
///
/// # Wrappers
/// A wrapper forwards every method and changes only those it exists for:
///
/// ```
/// use cqrs_core::{CommandId, EventStore, Position, StreamName, Timestamp, Version};
/// use cqrs_core::store::{
///     Append, AppendError, Appended, CommandRecord, LogRead, Pages, StoreError, StoreErrorKind,
///     StreamInfo, StreamListing, StreamQuery, StreamRead, async_trait,
/// };
///
/// /// A store that can only be read.
/// #[derive(Clone, Debug)]
/// struct ReadOnly<S>(S);
///
/// #[async_trait]
/// impl<S: EventStore> EventStore for ReadOnly<S> {
///     async fn append(&self, _: Append) -> Result<Appended, AppendError> {
///         Err(StoreError::new(StoreErrorKind::PermissionDenied, "the store is read-only").into())
///     }
///     fn read_stream(&self, read: StreamRead) -> Pages<Version> {
///         self.0.read_stream(read)
///     }
///     fn read_log(&self, read: LogRead) -> Pages<Position> {
///         self.0.read_log(read)
///     }
///     async fn head(&self) -> Result<Position, StoreError> {
///         self.0.head().await
///     }
///     async fn wait_for_head_after(&self, position: Position) {
///         self.0.wait_for_head_after(position).await;
///     }
///     async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
///         self.0.stream_info(stream).await
///     }
///     async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
///         self.0.list_streams(query).await
///     }
///     async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
///         self.0.find_command(id).await
///     }
///     async fn forget_commands(&self, before: Timestamp) -> Result<u64, StoreError> {
///         self.0.forget_commands(before).await
///     }
/// }
/// ```
#[async_trait]
pub trait EventStore: std::fmt::Debug + Send + Sync + 'static {
    /// Stores all events of an append, or none.
    ///
    /// # Behavior
    /// The checks run in this order:
    /// 1. [`Append::check`].
    /// 2. If a command with the same id is recorded: with the same fingerprint, the append returns
    ///    the first result, marked as `repeated`, and stores nothing; with a different fingerprint,
    ///    it fails with `CommandIdReused`.
    /// 3. If all events are stored already, in the same streams, contiguous and in the same order,
    ///    the append returns the first result, marked as `repeated`, and stores nothing, not even a
    ///    new command. If an event id is stored in any other way, it fails with `DuplicateEvent`.
    /// 4. The expected versions, in the order of the streams. The first that does not match is
    ///    returned as the `Conflict`. They are also checked for streams without events.
    ///
    /// Then:
    /// - Of concurrent appends that expect the same version, exactly one succeeds.
    /// - Positions are assigned in the order of the streams, without a gap.
    /// - The `recorded_at` of an event is its own if it has one, otherwise the time of the store,
    ///   which is the same for the whole append.
    /// - A state is stored if and only if the events are, at the version of the stream after the
    ///   append.
    /// - The command is recorded if and only if the rest is stored, even if there are no events.
    /// - An append without events, state and command stores nothing and notifies no reader.
    ///
    /// # Errors
    /// Returns an [`AppendError`]. Nothing was stored, unless it is
    /// [`OutcomeUnknown`](AppendError::OutcomeUnknown).
    ///
    /// # Cancel safety
    /// If the future is dropped, either everything is stored or nothing. To find out, append the
    /// same value again.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>; // impls need #[async_trait]

    /// Reads one stream by version. Users call [`EventStoreExt::read`].
    ///
    /// # Behavior
    /// - The read starts at `from`, inclusive. Without it, a forward read starts at the first event
    ///   and a backward read at the last.
    /// - It ends with the last event that was stored when the first page was read; it never waits.
    /// - A start after the last event, or before the first one when reading backward, returns no
    ///   events.
    /// - No page is larger than `page_size`. No page is empty unless it is the only one.
    /// - If the stream has no events, the first page is the error `StreamNotFound`, in both
    ///   directions. Nothing is read before the first page is polled.
    /// - `through` is the version of the last event of the page, or [`Version::ZERO`] if it is empty.
    fn read_stream(&self, read: StreamRead) -> Pages<Version>;

    /// Reads the log by position. Users call [`EventStoreExt::read`].
    ///
    /// # Behavior
    /// - Events that pass the filter come in strict order of position, each once.
    /// - The read starts at `from`, inclusive, and ends at the head at the time the first page was
    ///   read; it never waits.
    /// - The last page of a forward read has this head as `through`, unless the read ended at its
    ///   limit. This page is empty if necessary. A read that returns no events has one empty page.
    /// - In a backward read, `through` is the position of the last event of the page, or
    ///   [`Position::START`] if it is empty.
    fn read_log(&self, read: LogRead) -> Pages<Position>;

    /// Returns the position of the newest event, or [`Position::START`] if the log is empty.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn head(&self) -> Result<Position, StoreError>;

    /// Waits until the head is after `position`.
    ///
    /// # Behavior
    /// - Returns immediately if the head is known to be after `position`.
    /// - It is a hint: it may return too early. If notifications are lost, it may never return, so
    ///   callers combine it with a timeout and then read again.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect; call it again.
    async fn wait_for_head_after(&self, position: Position);

    /// Returns a summary of a stream, or `None` if it has no events.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError>;

    /// Returns a page of streams.
    ///
    /// # Behavior
    /// - No character of the search text has a special meaning.
    /// - A page after the last one is empty, with the correct total.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError>;

    /// Returns the record of a command, or `None` if it was never recorded or is forgotten.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError>;

    /// Deletes the records of commands that were recorded before this time, and returns their
    /// number. A command whose record was deleted is executed again if it is sent again.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + ?Sized> EventStore for Arc<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        (**self).append(append).await
    }
    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        (**self).read_stream(read)
    }
    fn read_log(&self, read: LogRead) -> Pages<Position> {
        (**self).read_log(read)
    }
    async fn head(&self) -> Result<Position, StoreError> {
        (**self).head().await
    }
    async fn wait_for_head_after(&self, position: Position) {
        (**self).wait_for_head_after(position).await;
    }
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        (**self).stream_info(stream).await
    }
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        (**self).list_streams(query).await
    }
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        (**self).find_command(id).await
    }
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        (**self).forget_commands(recorded_before).await
    }
}
