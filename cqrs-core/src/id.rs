//! Ids of events, commands and conversations, and generating them.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Returns a new UUIDv7 for `derive(Id)`.
#[doc(hidden)]
#[must_use]
pub fn random_uuid() -> Uuid {
    Uuid::now_v7()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates an id from a UUID of any version.
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// Creates a new UUIDv7 from the system's clock and random source.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::now_v7())
            }

            /// Returns the UUID.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// The id of an event. An event is stored at most once under its id.
    EventId
}
id! {
    /// The id of a command. A command that is sent again with the same id is not decided again.
    ///
    /// ```
    /// use cqrs_core::{CommandId, event::Uuid};
    ///
    /// // From the id of a request, so that a retried request is the same command:
    /// let request = Uuid::from_u128(7);
    /// assert_eq!(CommandId::new(request), CommandId::from(request));
    /// ```
    CommandId
}
id! {
    /// The id of a conversation, which consists of all commands and events that one request led to.
    CorrelationId
}
id! {
    /// The id of the command or event that directly caused a command or event.
    CausationId
}

impl From<CommandId> for CausationId {
    fn from(command: CommandId) -> Self {
        Self(command.0)
    }
}

impl From<EventId> for CausationId {
    fn from(event: EventId) -> Self {
        Self(event.0)
    }
}

/// Generates the ids of commands and events. Set one with
/// [`AppBuilder::ids`](crate::app::AppBuilder::ids), for example to make a test deterministic.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use cqrs_core::{App, CommandId, app::IdGenerator, event::Uuid};
/// use cqrs_memory::MemoryStore;
///
/// #[derive(Debug, Default)]
/// struct Counting(AtomicU64);
///
/// impl IdGenerator for Counting {
///     fn next(&self) -> Uuid {
///         Uuid::from_u64_pair(0, 1 + self.0.fetch_add(1, Ordering::Relaxed))
///     }
/// }
///
/// let app = App::builder(MemoryStore::new()).ids(Counting::default()).build()?;
/// let outcome = app.dispatch(deposit("alice", 500)).await?;
/// assert_eq!(outcome.command_id, CommandId::new(Uuid::from_u128(1)));
/// # Ok(()) }
/// ```
pub trait IdGenerator: fmt::Debug + Send + Sync + 'static {
    /// Returns an id that has never been returned before. Ids that increase with time, such as
    /// UUIDv7, keep database indexes compact.
    fn next(&self) -> Uuid;
}

/// Generates UUIDv7s: ordered by time, random, and increasing within one node.
///
/// ```
/// use cqrs_core::app::{IdGenerator, RandomIds};
///
/// let (first, second) = (RandomIds.next(), RandomIds.next());
/// assert!(first < second);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl IdGenerator for RandomIds {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

impl<G: IdGenerator + ?Sized> IdGenerator for std::sync::Arc<G> {
    fn next(&self) -> Uuid {
        (**self).next()
    }
}
