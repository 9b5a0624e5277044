//! Identities of events, commands and conversations, and where new ones come from.

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
            /// Wraps a UUID of any version.
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// A fresh UUIDv7 from the machine's clock and random source.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID itself.
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
    /// The identity of one event. An event stored under an id is never stored under it again.
    EventId
}
id! {
    /// The identity of one command. Give the same one when asking again, and the command is not
    /// decided a second time.
    CommandId
}
id! {
    /// The conversation that commands and events belong to: all that one request led to.
    CorrelationId
}
id! {
    /// What brought a command or an event about: the command or event with this id.
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

/// Where new ids come from. Handed to everything that makes one, so that a test can repeat a run
/// to the letter.
pub trait IdGenerator: fmt::Debug + Send + Sync + 'static {
    /// An id that was never returned before. Ids that grow with time (UUIDv7) keep database
    /// indexes compact.
    fn next(&self) -> Uuid;
}

/// UUIDv7: time-ordered and random, growing within the process.
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
