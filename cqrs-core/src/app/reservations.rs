//! What only one aggregate may have at a time: an e-mail address, a seat, an invoice number.
//!
//! Each reference has a stream of its own, whose last event says who holds it. Whoever reserves it
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
/// use cqrs_core::Reference;
///
/// let address = Reference::new("e-mail", "Alice@Example.com").ignoring_case();
/// assert_eq!(address.to_string(), "e-mail `alice@example.com`");
/// let seat = Reference::of_parts("seat", ["LH 400", "12A"]);
/// assert_ne!(seat, Reference::of_parts("seat", ["LH 40", "012A"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    kind: String,
    value: String,
}

/// Between the parts of a reference.
const SEPARATOR: char = '\u{1f}';

impl Reference {
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

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.value.replace(SEPARATOR, " "))
    }
}

/// What a decision reserves and gives back; see
/// [`Aggregate::reservations`](crate::Aggregate::reservations).
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    wishes: Vec<(Reference, bool)>,
}

impl Reservations {
    /// Nothing.
    pub const fn none() -> Self {
        Self { wishes: Vec::new() }
    }

    /// Reserves a reference. One that the aggregate holds already stays with it.
    pub fn reserve(mut self, reference: Reference) -> Self {
        self.wishes.push((reference, true));
        self
    }

    /// Gives a reference back, so that others can reserve it.
    pub fn release(mut self, reference: Reference) -> Self {
        self.wishes.push((reference, false));
        self
    }
}

/// Why a reservation was not granted. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReservationError {
    /// Somebody else holds it.
    #[error("{reference} is already taken")]
    AlreadyTaken {
        /// What was to be reserved.
        reference: Reference,
        /// The stream of the aggregate that holds it.
        owner: StreamName,
    },
    /// It was given back by an aggregate that does not hold it.
    #[error("{reference} is not held, so it cannot be given back")]
    NotHeld {
        /// What was given back.
        reference: Reference,
    },
    /// It cannot be part of a stream's name.
    #[error("{reference} is refused")]
    Invalid {
        /// What was to be reserved.
        reference: Reference,
        /// Why.
        #[source]
        source: InvalidName,
    },
}

/// What is recorded of a reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum ReservationEvent {
    Reserved { owner: StreamName },
    Released,
}

const RESERVED: EventType = EventType::new("cqrs.reference-reserved", 1);
const RELEASED: EventType = EventType::new("cqrs.reference-released", 1);

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

/// A change of who holds a reference.
pub(super) struct Transfer {
    pub(super) stream: StreamName,
    pub(super) expected: ExpectedVersion,
    pub(super) event: ReservationEvent,
}

/// Why it could not be found out who holds what.
pub(super) enum Unreserved {
    Refused(ReservationError),
    Read(ReadError),
}

/// What has to be appended beside the events of `owner` so that it gets what it reserves.
pub(super) async fn transfers(
    store: &dyn EventStore,
    owner: &StreamName,
    reservations: Reservations,
) -> Result<Vec<Transfer>, Unreserved> {
    let mut transfers = Vec::new();
    for (nth, (reference, _)) in reservations.wishes.iter().enumerate() {
        if reservations.wishes.iter().take(nth).any(|(before, _)| before == reference) {
            continue;
        }
        let stream = reference.stream().map_err(|source| {
            let reference = reference.clone();
            Unreserved::Refused(ReservationError::Invalid { reference, source })
        })?;
        let (before, version) = held(store, &stream).await.map_err(Unreserved::Read)?;
        let wishes = reservations.wishes.iter().filter(|(wished, _)| wished == reference);
        let mut after = before.clone();
        for (_, takes) in wishes {
            after = granted(reference, after, owner, *takes).map_err(Unreserved::Refused)?;
        }
        if after != before {
            let event = after
                .map_or(ReservationEvent::Released, |owner| ReservationEvent::Reserved { owner });
            transfers.push(Transfer { stream, expected: version.into(), event });
        }
    }
    Ok(transfers)
}

/// Who holds a reference after a wish.
fn granted(
    reference: &Reference,
    holder: Option<StreamName>,
    owner: &StreamName,
    takes: bool,
) -> Result<Option<StreamName>, ReservationError> {
    let reference = reference.clone();
    match holder {
        Some(holder) if holder == *owner => Ok(takes.then_some(holder)),
        Some(owner) if takes => Err(ReservationError::AlreadyTaken { reference, owner }),
        None if takes => Ok(Some(owner.clone())),
        _ => Err(ReservationError::NotHeld { reference }),
    }
}

/// Who holds a reference.
pub(super) async fn holder(
    store: &dyn EventStore,
    reference: &Reference,
) -> Result<Option<StreamName>, ReadError> {
    let Ok(stream) = reference.stream() else { return Ok(None) };
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
