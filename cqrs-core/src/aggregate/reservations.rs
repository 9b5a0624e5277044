//! What only one aggregate may have at a time: an e-mail address, a seat, an invoice number.
//!
//! Each key has a stream of its own, whose last event says who holds it. Whoever reserves it
//! appends to that stream in the append of its events, at the version it has looked at. So it is
//! held exactly when the events are stored, by one, and nothing of it can be lost or left behind.

use std::fmt;

use crate::store::EventStore;
use crate::{
    DecodeFailure, Event, EventType, ExpectedVersion, InvalidName, Payload, PayloadError,
    ReadError, StreamName, StreamRead, Version,
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

/// Something that only one aggregate may hold at a time.
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

/// Between the parts of a key.
const SEPARATOR: char = '\u{1f}';

impl UniqueKey {
    /// Of a kind, for example `e-mail`, which has values of its own.
    pub fn new(kind: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { kind: kind.into(), value: value.to_string() }
    }

    /// Made of several parts that are unique together.
    pub fn of_parts<T: fmt::Display>(
        kind: impl Into<String>,
        parts: impl IntoIterator<Item = T>,
    ) -> Self {
        let parts: Vec<String> = parts.into_iter().map(|part| part.to_string()).collect();
        Self::new(kind, parts.join(&SEPARATOR.to_string()))
    }

    /// The same in capital and small letters.
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

/// What a decision reserves and gives back; see
/// [`Aggregate::reservations`](crate::Aggregate::reservations).
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    changes: Vec<(UniqueKey, bool)>,
}

impl Reservations {
    /// Nothing.
    pub const fn none() -> Self {
        Self { changes: Vec::new() }
    }

    /// Reserves a key. One that the aggregate holds already stays with it.
    pub fn reserve(mut self, key: UniqueKey) -> Self {
        self.changes.push((key, true));
        self
    }

    /// Gives a key back, so that others can reserve it.
    pub fn release(mut self, key: UniqueKey) -> Self {
        self.changes.push((key, false));
        self
    }

    /// Returns the keys that are reserved, in order.
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
        self.changes.iter().filter(|(_, takes)| *takes).map(|(key, _)| key)
    }

    /// Returns the keys that are released, in order.
    pub fn released(&self) -> impl Iterator<Item = &UniqueKey> {
        self.changes.iter().filter(|(_, takes)| !*takes).map(|(key, _)| key)
    }
}

/// Why a reservation was not granted. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReservationError {
    /// Somebody else holds it.
    #[error("{key} is already taken")]
    AlreadyTaken {
        /// What was to be reserved.
        key: UniqueKey,
        /// The stream of the aggregate that holds it.
        owner: StreamName,
    },
    /// It was given back by an aggregate that does not hold it.
    #[error("{key} is not held, so it cannot be given back")]
    NotHeld {
        /// What was given back.
        key: UniqueKey,
    },
    /// It cannot be part of a stream's name.
    #[error("{key} is refused")]
    Invalid {
        /// What was to be reserved.
        key: UniqueKey,
        /// Why.
        #[source]
        source: InvalidName,
    },
}

/// What is recorded of a key.
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

/// A change of who holds a key.
pub(crate) struct Transfer {
    pub(crate) stream: StreamName,
    pub(crate) expected: ExpectedVersion,
    pub(crate) event: ReservationEvent,
}

/// Why it could not be found out who holds what.
pub(crate) enum Unreserved {
    Rejected(ReservationError),
    Read(ReadError),
}

/// What has to be appended beside the events of `owner` so that it gets what it reserves.
pub(crate) async fn transfers(
    store: &dyn EventStore,
    owner: &StreamName,
    reservations: Reservations,
) -> Result<Vec<Transfer>, Unreserved> {
    let mut transfers = Vec::new();
    for (nth, (key, _)) in reservations.changes.iter().enumerate() {
        if reservations.changes.iter().take(nth).any(|(before, _)| before == key) {
            continue;
        }
        let stream = key.stream().map_err(|source| {
            let key = key.clone();
            Unreserved::Rejected(ReservationError::Invalid { key, source })
        })?;
        let (before, version) = held(store, &stream).await.map_err(Unreserved::Read)?;
        let changes = reservations.changes.iter().filter(|(changed, _)| changed == key);
        let mut after = before.clone();
        for (_, takes) in changes {
            after = granted(key, after, owner, *takes).map_err(Unreserved::Rejected)?;
        }
        if after != before {
            let event = after
                .map_or(ReservationEvent::Released, |owner| ReservationEvent::Reserved { owner });
            transfers.push(Transfer { stream, expected: version.into(), event });
        }
    }
    Ok(transfers)
}

/// Who holds a key after a change.
fn granted(
    key: &UniqueKey,
    holder: Option<StreamName>,
    owner: &StreamName,
    takes: bool,
) -> Result<Option<StreamName>, ReservationError> {
    let key = key.clone();
    match holder {
        Some(holder) if holder == *owner => Ok(takes.then_some(holder)),
        Some(owner) if takes => Err(ReservationError::AlreadyTaken { key, owner }),
        None if takes => Ok(Some(owner.clone())),
        _ => Err(ReservationError::NotHeld { key }),
    }
}

/// Who holds a key.
pub(crate) async fn holder(
    store: &dyn EventStore,
    key: &UniqueKey,
) -> Result<Option<StreamName>, ReadError> {
    let Ok(stream) = key.stream() else { return Ok(None) };
    Ok(held(store, &stream).await?.0)
}

async fn held(
    store: &dyn EventStore,
    stream: &StreamName,
) -> Result<(Option<StreamName>, Version), ReadError> {
    let mut last = store.read_stream(StreamRead::backward(stream.clone()).limit(1));
    match last.next().await {
        None | Some(Err(ReadError::StreamNotFound { .. })) => Ok((None, Version::ZERO)),
        Some(Err(error)) => Err(error),
        Some(Ok(page)) => match page.events.into_iter().next() {
            None => Ok((None, Version::ZERO)),
            Some(event) => {
                let event = event.into_decoded::<ReservationEvent>()?;
                let holder = match event.event {
                    ReservationEvent::Reserved { owner } => Some(owner),
                    ReservationEvent::Released => None,
                };
                Ok((holder, event.version))
            }
        },
    }
}
