//! The event store: one log, many streams.
//!
//! [`EventStore`] is the contract between a backend and this library; [`EventStoreExt`] is what
//! users call for comfort. `# Behavior` lists the laws of each method; the conformance suite of
//! `cqrs-testing` holds a case for each.

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
/// Marks implementations of the ports.
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
/// Implemented by backends and by wrappers around them; held by applications as
/// `Arc<dyn EventStore>`. There are no provided methods, so a wrapper cannot forget one.
///
/// # Order
/// Positions are dense and final: when position *n* can be read, 1 to *n* can be read, and
/// nothing will ever appear below. Versions are dense in each stream. The events of one append
/// are contiguous in both.
#[async_trait]
pub trait EventStore: std::fmt::Debug + Send + Sync + 'static {
    /// Stores events, all or none.
    ///
    /// # Behavior
    /// - Checks [`Append::check`] before anything else.
    /// - A recorded command with the same fingerprint: answers with its first outcome, marked
    ///   `repeated`, and stores nothing. With another fingerprint: `CommandIdReused`.
    /// - All events already stored, in the same streams, contiguous and in the same order: the
    ///   first outcome, marked `repeated`, and nothing is stored, a new command neither. Any
    ///   event id stored otherwise: `DuplicateEvent`.
    /// - Only then the expected versions, in the order of the streams; the first that fails is
    ///   the `Conflict`. They are checked for empty lists too.
    /// - Of concurrent appends that expect the same version exactly one succeeds.
    /// - Positions are given in the order of the streams, without a gap.
    /// - An event's `recorded_at` is its own if it brings one, otherwise the store's time, the
    ///   same for the whole append.
    /// - A state is written if and only if the events are, at the stream's version afterwards.
    /// - The command record is written if and only if the rest is, also when there are no events.
    /// - An append without events, state and command writes nothing and wakes nobody.
    ///
    /// # Errors
    /// [`AppendError`]. Nothing was stored, except where it says `OutcomeUnknown`.
    ///
    /// # Cancel safety
    /// Dropping the future never leaves half an append: all is stored or nothing.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>; // impls need #[async_trait]

    /// Reads one stream by version.
    ///
    /// # Behavior
    /// - Starts at `from` inclusive; without it at the first event, or backward at the last.
    /// - Ends with the stream as it was when the first page was read; it never waits.
    /// - A start behind the end (or before the first, backward) is an empty read.
    /// - No page is larger than `page_size`; no page is empty except a sole one.
    /// - A stream without events is `StreamNotFound`, in both directions and lazily: nothing is
    ///   read before the first page is asked for.
    /// - `through` is the version of the page's last event; [`Version::ZERO`] on a sole empty page.
    fn read_stream(&self, read: StreamRead) -> Pages<Version>;

    /// Reads the log by position.
    ///
    /// # Behavior
    /// - Events come in strict order of position, each once, of all streams that pass the filter.
    /// - Starts at `from` inclusive; ends at the head as it was when the first page was read.
    /// - A forward read that its limit did not end closes with `through` = that head, if need be
    ///   on a last page without events. A read with nothing to return gives one empty page.
    /// - Backward, `through` is the position of the page's last event; [`Position::START`] on an
    ///   empty page.
    fn read_log(&self, read: LogRead) -> Pages<Position>;

    /// The position of the newest event; [`Position::START`] for an empty log.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn head(&self) -> Result<Position, StoreError>;

    /// Returns when the head may be beyond `position`.
    ///
    /// # Behavior
    /// - At once when the head is known to be beyond.
    /// - A hint: it may return too early, and a store that loses notifications may return never,
    ///   so whoever waits here also looks again after a while of their own.
    ///
    /// # Cancel safety
    /// Safe to drop and call again.
    async fn wait_for_head_after(&self, position: Position);

    /// What is known about a stream; `None` when it has no events.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError>;

    /// A page of streams.
    ///
    /// # Behavior
    /// - The search text has no special characters.
    /// - A page beyond the end is empty; the total stays right.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError>;

    /// The record of a command that was appended before; `None` when it is not known.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError>;

    /// Forgets the commands recorded before a moment and says how many. A forgotten command that
    /// comes again is decided again.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
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
