//! Unique keys: values that only one aggregate may hold at a time, such as an e-mail address, a
//! seat or an invoice number.
//!
//! Each key has its own stream, whose last event names the holder. A decision that reserves a key
//! appends to that stream together with its own events, at the version that it has read. Therefore
//! a key is held if and only if the events are stored, and by one aggregate only.

use std::fmt;

use crate::store::EventStore;
use crate::{
    DecodeFailure, Event, EventType, ExpectedVersion, InvalidName, Payload, PayloadError,
    ReadError, StreamName, StreamRead, Version,
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

/// A value that only one aggregate may hold at a time, for example an e-mail address.
///
/// Reserve it in [`Aggregate::reservations`](crate::Aggregate::reservations), and look up its holder
/// with [`App::unique_key_owner`](crate::App::unique_key_owner).
///
/// ```
/// use cqrs_core::aggregate::UniqueKey;
///
/// let address = UniqueKey::new("e-mail", "Alice@Example.com").ignoring_case();
/// assert_eq!(address.to_string(), "e-mail `alice@example.com`");
/// let seat = UniqueKey::of_parts("seat", ["LH 400", "12A"]);
/// assert_ne!(seat, UniqueKey::of_parts("seat", ["LH 40", "012A"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniqueKey {
    kind: String,
    value: String,
}

/// Separates the parts of a key.
const SEPARATOR: char = '\u{1f}';

impl UniqueKey {
    /// Creates a key from a kind, for example `e-mail`, and a value. Keys of different kinds are
    /// independent.
    pub fn new(kind: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { kind: kind.into(), value: value.to_string() }
    }

    /// Creates a key from several parts that are unique in combination.
    pub fn of_parts<T: fmt::Display>(
        kind: impl Into<String>,
        parts: impl IntoIterator<Item = T>,
    ) -> Self {
        let parts: Vec<String> = parts.into_iter().map(|part| part.to_string()).collect();
        Self::new(kind, parts.join(&SEPARATOR.to_string()))
    }

    /// Converts the value to lower case, so that keys that differ only in case are equal.
    #[must_use]
    pub fn ignoring_case(mut self) -> Self {
        self.value = self.value.to_lowercase();
        self
    }

    fn stream(&self) -> Result<StreamName, InvalidName> {
        StreamName::of("cqrs_reservation", &format_args!("{}{SEPARATOR}{}", self.kind, self.value))
    }
}

impl fmt::Display for UniqueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.value.replace(SEPARATOR, " "))
    }
}

/// The unique keys that a decision reserves and releases; returned by
/// [`Aggregate::reservations`](crate::Aggregate::reservations).
///
/// ```
/// use cqrs_core::aggregate::{Reservations, UniqueKey};
///
/// // A user changes the e-mail address:
/// let changed = Reservations::none()
///     .release(UniqueKey::new("e-mail", "old@example.com"))
///     .reserve(UniqueKey::new("e-mail", "new@example.com"));
/// assert_ne!(changed, Reservations::none());
/// ```
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    changes: Vec<KeyChange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyChange {
    key: UniqueKey,
    kind: ChangeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeKind {
    Reserve,
    Release,
}

impl Reservations {
    /// Returns an empty list: nothing is reserved or released.
    pub const fn none() -> Self {
        Self { changes: Vec::new() }
    }

    /// Reserves a key. Has no effect if the aggregate already holds it.
    pub fn reserve(self, key: UniqueKey) -> Self {
        self.with(key, ChangeKind::Reserve)
    }

    /// Releases a key, so that other aggregates can reserve it. Fails with
    /// [`ReservationError::NotHeld`] if the aggregate does not hold it.
    pub fn release(self, key: UniqueKey) -> Self {
        self.with(key, ChangeKind::Release)
    }

    fn keys(&self, kind: ChangeKind) -> impl Iterator<Item = &UniqueKey> {
        self.changes.iter().filter(move |change| change.kind == kind).map(|change| &change.key)
    }

    fn with(mut self, key: UniqueKey, kind: ChangeKind) -> Self {
        self.changes.push(KeyChange { key, kind });
        self
    }

    /// Returns the keys that are reserved, in the order in which they were added.
    ///
    /// ```
    /// use cqrs_core::aggregate::{Reservations, UniqueKey};
    ///
    /// let [old, new] = ["a@example.com", "b@example.com"].map(|it| UniqueKey::new("e-mail", it));
    /// let moved = Reservations::none().release(old.clone()).reserve(new.clone());
    /// assert!(moved.reserved().eq([&new]));
    /// assert!(moved.released().eq([&old]));
    /// ```
    pub fn reserved(&self) -> impl Iterator<Item = &UniqueKey> {
        self.keys(ChangeKind::Reserve)
    }

    /// Returns the keys that are released, in the order in which they were added.
    pub fn released(&self) -> impl Iterator<Item = &UniqueKey> {
        self.keys(ChangeKind::Release)
    }
}

/// Why a unique key could not be reserved or released. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReservationError {
    /// Another aggregate holds the key. The message does not name it, because the message may
    /// be shown to the user of another aggregate.
    #[error("{key} is already taken")]
    AlreadyTaken {
        /// The key that was to be reserved.
        key: UniqueKey,
        /// The stream of the aggregate that holds the key.
        owner: StreamName,
    },
    /// The decision releases a key that the aggregate does not hold.
    #[error("{key} cannot be released because the aggregate does not hold it")]
    NotHeld {
        /// The key that was to be released.
        key: UniqueKey,
    },
    /// The key cannot be part of a stream name, for example because it is too long.
    #[error("{key} is not a valid unique key")]
    Invalid {
        /// The key that was to be reserved or released.
        key: UniqueKey,
        /// The rule that the key breaks.
        source: InvalidName,
    },
}

/// The events in the stream of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ReservationEvent {
    Reserved { owner: StreamName },
    Released,
}

const RESERVED: EventType = EventType::new("cqrs.unique-key-reserved", 1);
const RELEASED: EventType = EventType::new("cqrs.unique-key-released", 1);

impl Event for ReservationEvent {
    const TYPES: &'static [EventType] = &[RESERVED, RELEASED];

    fn event_type(&self) -> EventType {
        match self {
            Self::Reserved { .. } => RESERVED,
            Self::Released => RELEASED,
        }
    }

    fn encode(&self) -> Result<Payload, PayloadError> {
        Payload::encode(self)
    }

    fn decode(name: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
        if Self::TYPES.iter().any(|known| known.name() == name) {
            Ok(payload.decode()?)
        } else {
            Err(DecodeFailure::UnknownType)
        }
    }
}

/// An event to append to the stream of a key because its holder changes.
pub(crate) struct Transfer {
    pub(crate) stream: StreamName,
    pub(crate) expected: ExpectedVersion,
    pub(crate) event: ReservationEvent,
}

pub(crate) enum TransferError {
    Rejected(ReservationError),
    Read(ReadError),
}

/// Returns the events that must be appended together with those of `owner` for its reservations.
pub(crate) async fn transfers(
    store: &dyn EventStore,
    owner: &StreamName,
    reservations: Reservations,
) -> Result<Vec<Transfer>, TransferError> {
    let changes = &reservations.changes;
    let mut transfers = Vec::new();
    for (nth, KeyChange { key, .. }) in changes.iter().enumerate() {
        if changes.iter().take(nth).any(|earlier| earlier.key == *key) {
            continue;
        }
        let stream = key.stream().map_err(|source| {
            TransferError::Rejected(ReservationError::Invalid { key: key.clone(), source })
        })?;
        let (before, version) =
            holder_and_version(store, &stream).await.map_err(TransferError::Read)?;
        let mut after = before.clone();
        for change in changes.iter().filter(|change| change.key == *key) {
            after = holder_after(change, after, owner).map_err(TransferError::Rejected)?;
        }
        if after != before {
            let event = after
                .map_or(ReservationEvent::Released, |owner| ReservationEvent::Reserved { owner });
            transfers.push(Transfer { stream, expected: version.into(), event });
        }
    }
    Ok(transfers)
}

/// Returns the holder of a key after a change by `owner`.
fn holder_after(
    change: &KeyChange,
    holder: Option<StreamName>,
    owner: &StreamName,
) -> Result<Option<StreamName>, ReservationError> {
    let key = || change.key.clone();
    match (change.kind, holder) {
        (ChangeKind::Reserve, None) => Ok(Some(owner.clone())),
        (ChangeKind::Reserve, Some(holder)) if holder == *owner => Ok(Some(holder)),
        (ChangeKind::Reserve, Some(owner)) => {
            Err(ReservationError::AlreadyTaken { key: key(), owner })
        }
        (ChangeKind::Release, Some(holder)) if holder == *owner => Ok(None),
        (ChangeKind::Release, _) => Err(ReservationError::NotHeld { key: key() }),
    }
}

/// Returns the stream of the aggregate that holds a key.
pub(crate) async fn holder(
    store: &dyn EventStore,
    key: &UniqueKey,
) -> Result<Option<StreamName>, ReadError> {
    let Ok(stream) = key.stream() else { return Ok(None) };
    Ok(holder_and_version(store, &stream).await?.0)
}

/// Returns the holder of a key and the version of the key's stream.
async fn holder_and_version(
    store: &dyn EventStore,
    stream: &StreamName,
) -> Result<(Option<StreamName>, Version), ReadError> {
    let mut last = store.read_stream(StreamRead::backward(stream.clone()).limit(1));
    let page = match last.next().await {
        None | Some(Err(ReadError::StreamNotFound { .. })) => return Ok((None, Version::ZERO)),
        Some(page) => page?,
    };
    let Some(event) = page.events.into_iter().next() else { return Ok((None, Version::ZERO)) };
    let event = event.into_decoded::<ReservationEvent>()?;
    let holder = match event.event {
        ReservationEvent::Reserved { owner } => Some(owner),
        ReservationEvent::Released => None,
    };
    Ok((holder, event.version))
}
