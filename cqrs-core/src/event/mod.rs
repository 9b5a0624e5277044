//! Events: what happened, under a stored name that outlives every Rust type.

mod new;
mod recorded;

pub use crate::id::{CausationId, CommandId, CorrelationId, EventId};
pub use crate::metadata::Metadata;
pub use crate::names::{EventName, InvalidName, MAX_EVENT_NAME_BYTES};
pub use crate::payload::{MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, Payload, PayloadError};
pub use crate::time::{InvalidTimestamp, Timestamp};
pub use new::{InvalidEvent, NewEvent};
pub(crate) use recorded::as_stored;
pub use recorded::{DecodeError, DecodeFailure, RawEvent, Recorded, RecordedEvent};
pub use uuid::Uuid;

use std::fmt;

use crate::names::is_event_name;

/// The stored name and schema version of one kind of event.
///
/// The pair says what the stored JSON looks like. Change the JSON in a way that old data does not
/// fit, and the version goes up by one and an [`Upcaster`](crate::upcast) is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventType {
    name: &'static str,
    version: u32,
}

impl EventType {
    /// A name such as `bank.money-deposited` and its schema version, counted from 1.
    ///
    /// # Panics
    /// For an empty or over-long name, one with NUL or a leading `$`, and for version 0. Event
    /// types are constants, so this is an error of compilation.
    #[must_use]
    pub const fn new(name: &'static str, version: u32) -> Self {
        assert!(
            is_event_name(name),
            "an event's name has 1 to 255 bytes, no NUL and no leading `$`"
        );
        assert!(version > 0, "schema versions count from 1");
        Self { name, version }
    }

    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The schema version that is written today.
    #[must_use]
    pub const fn version(self) -> u32 {
        self.version
    }

    /// The stored name as it stands in records and filters.
    #[must_use]
    pub const fn event_name(self) -> EventName {
        EventName::constant(self.name)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}

/// A set of things that can happen, usually one enum per aggregate.
///
/// Derive it, or write it by hand in a few lines:
///
/// ```
/// use cqrs_core::{Event, event::{DecodeFailure, EventType, Payload, PayloadError}};
///
/// #[derive(Debug, PartialEq)]
/// enum CartEvent {
///     Added { sku: String },
///     Emptied,
/// }
///
/// impl Event for CartEvent {
///     const TYPES: &'static [EventType] =
///         &[EventType::new("cart.added", 1), EventType::new("cart.emptied", 1)];
///
///     fn event_type(&self) -> EventType {
///         match self {
///             Self::Added { .. } => Self::TYPES[0],
///             Self::Emptied => Self::TYPES[1],
///         }
///     }
///
///     fn encode(&self) -> Result<Payload, PayloadError> {
///         match self {
///             Self::Added { sku } => Payload::encode(sku),
///             Self::Emptied => Payload::encode(&()),
///         }
///     }
///
///     fn decode(name: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
///         match name {
///             "cart.added" => Ok(Self::Added { sku: payload.decode()? }),
///             "cart.emptied" => Ok(Self::Emptied),
///             _ => Err(DecodeFailure::UnknownType),
///         }
///     }
/// }
///
/// let event = CartEvent::Added { sku: "abc".into() };
/// let stored = event.encode()?;
/// assert_eq!(CartEvent::decode(event.event_type().name(), &stored)?, event);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "this type has no stored name",
    note = "add `#[derive(Event)]` and give each variant a name: `#[event(name = \"bank.account-opened\")]`"
)]
pub trait Event: Sized + Send + Sync + 'static {
    /// Every stored name this type can hold, each once, at the version written today.
    const TYPES: &'static [EventType];

    /// The stored name and version of this event: one of [`TYPES`](Self::TYPES).
    fn event_type(&self) -> EventType;

    /// The stored content. The name is not part of it, so renaming a Rust variant is free.
    ///
    /// # Errors
    /// [`PayloadError`] when the content cannot be stored.
    fn encode(&self) -> Result<Payload, PayloadError>;

    /// Reads content that was stored under `name`, already brought to today's version.
    ///
    /// # Errors
    /// [`DecodeFailure::UnknownType`] for a name that is not in [`TYPES`](Self::TYPES),
    /// [`DecodeFailure::Malformed`] for content of another shape.
    fn decode(name: &str, payload: &Payload) -> Result<Self, DecodeFailure>;
}

/// Whether every name in the list stands there once; for checks while compiling.
#[doc(hidden)]
#[must_use]
#[allow(clippy::indexing_slicing)] // in bounds: the loops' conditions
pub const fn names_are_unique(types: &[EventType]) -> bool {
    let mut i = 0;
    while i < types.len() {
        let mut j = i + 1;
        while j < types.len() {
            if same_text(types[i].name.as_bytes(), types[j].name.as_bytes()) {
                return false;
            }
            j += 1;
        }
        i += 1;
    }
    true
}

#[allow(clippy::indexing_slicing)] // in bounds: the lengths are equal
const fn same_text(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// How many types several sets have together.
#[doc(hidden)]
#[must_use]
#[allow(clippy::indexing_slicing)] // in bounds: the loop's condition
pub const fn count_types(sets: &[&[EventType]]) -> usize {
    let (mut count, mut set) = (0, 0);
    while set < sets.len() {
        count += sets[set].len();
        set += 1;
    }
    count
}

/// The types of several sets behind one another; `N` is the sum of their lengths.
#[doc(hidden)]
#[must_use]
#[allow(clippy::indexing_slicing)] // while compiling: out of bounds is a compile error
pub const fn concat_types<const N: usize>(sets: &[&[EventType]]) -> [EventType; N] {
    let mut all = [EventType { name: "", version: 0 }; N];
    let (mut set, mut at) = (0, 0);
    while set < sets.len() {
        let mut i = 0;
        while i < sets[set].len() {
            all[at] = sets[set][i];
            i += 1;
            at += 1;
        }
        set += 1;
    }
    all
}

/// Whether a set contains a name.
#[doc(hidden)]
#[must_use]
pub fn contains_name(types: &[EventType], name: &str) -> bool {
    types.iter().any(|known| known.name == name)
}
