//! Events: facts that are stored under a name and a schema version, independent of Rust types.

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
/// Together they identify the shape of the stored JSON. If you change the shape so that old events
/// no longer decode, increment the version and add a step to the [`Upcasters`](crate::Upcasters).
///
/// ```
/// use cqrs_core::event::EventType;
///
/// const DEPOSITED: EventType = EventType::new("bank.money-deposited", 2);
/// assert_eq!(DEPOSITED.to_string(), "bank.money-deposited v2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventType {
    name: &'static str,
    version: u32,
}

impl EventType {
    /// Creates an event type from a name such as `bank.money-deposited` and its schema version,
    /// counted from 1.
    ///
    /// # Panics
    /// Panics if the name does not have 1 to 255 bytes, contains NUL or starts with `$`, or if the
    /// version is 0. In a constant, that is a compile error.
    #[must_use]
    pub const fn new(name: &'static str, version: u32) -> Self {
        assert!(is_event_name(name), "an event name has 1 to 255 bytes, no NUL and no leading `$`");
        assert!(version > 0, "schema versions are counted from 1");
        Self { name, version }
    }

    /// Returns the stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Returns the current schema version, which new events are stored with.
    #[must_use]
    pub const fn version(self) -> u32 {
        self.version
    }

    /// Returns the stored name as an [`EventName`], the type that records and filters use.
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

/// The events that one type can hold, usually an enum per aggregate.
///
/// Usually derived with `#[derive(Event)]`. A manual implementation is short:
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
    /// The types of all events this type can hold, each name once, at its current schema version.
    const TYPES: &'static [EventType];

    /// Returns the type of this event, which is one of [`TYPES`](Self::TYPES).
    fn event_type(&self) -> EventType;

    /// Serializes the content. It does not include the name, so Rust variants can be renamed.
    ///
    /// # Errors
    /// Returns a [`PayloadError`] if the content cannot be stored.
    fn encode(&self) -> Result<Payload, PayloadError>;

    /// Deserializes content that was stored under `name`. The content has the current schema
    /// version: it was stored with it, or upcast to it.
    ///
    /// # Errors
    /// Returns [`DecodeFailure::UnknownType`] if the name is not in [`TYPES`](Self::TYPES), and
    /// [`DecodeFailure::Malformed`] if the content has another shape.
    fn decode(name: &str, payload: &Payload) -> Result<Self, DecodeFailure>;
}

/// Returns `true` if every name occurs once; evaluated at compile time.
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

/// Returns the total number of types in several sets.
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

/// Concatenates several sets of types; `N` is the sum of their lengths.
#[doc(hidden)]
#[must_use]
#[allow(clippy::indexing_slicing)] // evaluated at compile time: out of bounds is a compile error
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

/// Returns `true` if a set contains a name.
#[doc(hidden)]
#[must_use]
pub fn contains_name(types: &[EventType], name: &str) -> bool {
    types.iter().any(|known| known.name == name)
}
