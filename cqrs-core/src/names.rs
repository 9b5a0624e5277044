//! Names of streams and categories, checked once and then trusted.
//!
//! A stream is called `category-id`, for example `account-7f3a`; everything before the first dash
//! is its category. A name is data: quotes, percent signs and emoji are stored as they are.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest stream name in bytes of UTF-8. It fits every store's index entry.
pub const MAX_STREAM_NAME_BYTES: usize = 2_048;
/// Longest category in bytes of UTF-8.
pub const MAX_CATEGORY_BYTES: usize = 255;
/// Longest event type name in bytes of UTF-8.
pub const MAX_EVENT_NAME_BYTES: usize = 255;

/// Why a name was refused. Asking again with the same name cannot help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// There is nothing in it.
    #[error("{what} is empty")]
    Empty {
        /// What was being named: `stream name`, `category`, `aggregate id`, `event type`.
        what: &'static str,
    },
    /// It is longer than every store can keep.
    #[error("{what} has {bytes} bytes, the limit is {max}")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// It contains U+0000, which databases do not store in text.
    #[error("{what} contains a NUL character")]
    Nul {
        /// What was being named.
        what: &'static str,
    },
    /// It starts with `$`, which is kept for the store's own names such as `$all`.
    #[error("{what} starts with `$`, which is reserved")]
    Reserved {
        /// What was being named.
        what: &'static str,
    },
    /// It has other characters than lower-case letters, digits and underscores, or does not start
    /// with a letter.
    #[error("{what} `{name}` is not made of lower-case letters, digits and underscores")]
    NotAnIdentifier {
        /// What was being named.
        what: &'static str,
        /// The name as given.
        name: String,
    },
    /// The text is not a UUID.
    #[error("{what} `{name}` is not a UUID such as 0198f6a4-7c1e-7d3a-9a64-3f0c5b1e2d4f")]
    NotAUuid {
        /// The type of the id, such as `AccountId`.
        what: &'static str,
        /// The first 64 characters of the text.
        name: String,
    },
    /// A category may not contain a dash: the first dash ends it.
    #[error("category `{category}` contains a dash")]
    DashInCategory {
        /// The category as given.
        category: String,
    },
}

fn check(what: &'static str, name: &str, max: usize) -> Result<(), InvalidName> {
    if name.is_empty() {
        Err(InvalidName::Empty { what })
    } else if name.len() > max {
        Err(InvalidName::TooLong { what, bytes: name.len(), max })
    } else if name.contains('\0') {
        Err(InvalidName::Nul { what })
    } else if name.starts_with('$') {
        Err(InvalidName::Reserved { what })
    } else {
        Ok(())
    }
}

/// Checks the text of an id for `derive(Id)`. After the longest category and a dash, the longest id
/// still fits a stream name.
#[doc(hidden)]
pub fn check_id(what: &'static str, id: &str) -> Result<(), InvalidName> {
    const MAX: usize = MAX_STREAM_NAME_BYTES - MAX_CATEGORY_BYTES - 1;
    match check(what, id, MAX) {
        // A stream name starts with its category, so an id may start with `$`.
        Err(InvalidName::Reserved { .. }) => Ok(()),
        checked => checked,
    }
}

/// Parses a UUID for `derive(Id)`.
#[doc(hidden)]
pub fn parse_uuid(what: &'static str, text: &str) -> Result<Uuid, InvalidName> {
    Uuid::try_parse(text)
        .map_err(|_| InvalidName::NotAUuid { what, name: text.chars().take(64).collect() })
}

/// The name of one stream: `category-id`, or a bare `category` for a stream that stands alone.
///
/// Cloning is cheap: the text is shared.
///
/// ```
/// use cqrs_core::StreamName;
///
/// let stream = StreamName::new("account-7")?;
/// assert_eq!(stream.category(), "account");
/// assert_eq!(stream.id(), Some("7"));
/// assert!(StreamName::new("").is_err());
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, longer than [`MAX_STREAM_NAME_BYTES`], contains NUL,
    /// starts with `$` or a dash, or has a dash with no id behind it.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("stream name", name, MAX_STREAM_NAME_BYTES)?;
        let (category, id) = split(name);
        check("category", category, MAX_CATEGORY_BYTES)?;
        if id == Some("") {
            return Err(InvalidName::Empty { what: "aggregate id" });
        }
        Ok(Self(Arc::from(name)))
    }

    /// The stream of one aggregate: `category-id`.
    ///
    /// # Errors
    /// [`InvalidName`] for a bad category or an id that is empty, too long or contains NUL.
    pub fn of(category: &str, id: &impl fmt::Display) -> Result<Self, InvalidName> {
        use fmt::Write as _;
        let mut name = String::with_capacity(category.len() + 37);
        name.push_str(category);
        name.push('-');
        // Writing into a String only fails when the id's own Display does.
        let written = write!(name, "{id}");
        if written.is_err() || name.len() == category.len() + 1 {
            return Err(InvalidName::Empty { what: "aggregate id" });
        }
        if category.contains('-') {
            return Err(InvalidName::DashInCategory { category: category.into() });
        }
        Self::new(name)
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the first dash.
    #[must_use]
    pub fn category(&self) -> &str {
        split(&self.0).0
    }

    /// Everything behind the first dash, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        split(&self.0).1
    }
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('-').map_or((name, None), |(category, id)| (category, Some(id)))
}

/// The kind of thing a stream is about: `account` in `account-7`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Category(Arc<str>);

impl Category {
    /// Checks and keeps a category.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, longer than [`MAX_CATEGORY_BYTES`], contains NUL or a
    /// dash, or starts with `$`.
    pub fn new(category: impl AsRef<str>) -> Result<Self, InvalidName> {
        let category = category.as_ref();
        check("category", category, MAX_CATEGORY_BYTES)?;
        if category.contains('-') {
            return Err(InvalidName::DashInCategory { category: category.into() });
        }
        Ok(Self(Arc::from(category)))
    }

    /// The category as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a constant can be a category; for checks while compiling.
#[doc(hidden)]
#[must_use]
pub const fn is_category(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    let mut ok = !bytes.is_empty() && bytes.len() <= MAX_CATEGORY_BYTES;
    while ok && i < bytes.len() {
        // In bounds: the loop's condition.
        #[allow(clippy::indexing_slicing)]
        let byte = bytes[i];
        ok = byte != b'-' && byte != 0 && !(i == 0 && byte == b'$');
        i += 1;
    }
    ok
}

/// The stored name of an event type, such as `bank.money-deposited`.
///
/// It is part of the stored data for ever, which is why it is never taken from a Rust type's name.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventName(Name);

#[derive(Clone)]
enum Name {
    Constant(&'static str),
    Shared(Arc<str>),
}

impl EventName {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, longer than [`MAX_EVENT_NAME_BYTES`], contains NUL or
    /// starts with `$`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("event type", name, MAX_EVENT_NAME_BYTES)?;
        Ok(Self(Name::Shared(Arc::from(name))))
    }

    /// A name known while compiling; it was checked there by [`EventType::new`](crate::EventType).
    pub(crate) const fn constant(name: &'static str) -> Self {
        Self(Name::Constant(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Constant(name) => name,
            Name::Shared(name) => name,
        }
    }
}

/// Whether a constant can be an event type's name; for checks while compiling.
pub(crate) const fn is_event_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    let mut ok = !bytes.is_empty() && bytes.len() <= MAX_EVENT_NAME_BYTES;
    while ok && i < bytes.len() {
        // In bounds: the loop's condition.
        #[allow(clippy::indexing_slicing)]
        let byte = bytes[i];
        ok = byte != 0 && !(i == 0 && byte == b'$');
        i += 1;
    }
    ok
}

impl PartialEq for EventName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for EventName {}
impl PartialOrd for EventName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for EventName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}
impl std::hash::Hash for EventName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// The name of a durable subscription.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionName(Arc<str>);

impl SubscriptionName {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, longer than 255 bytes, contains NUL or starts with `$`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("subscription name", name, MAX_EVENT_NAME_BYTES)?;
        Ok(Self(Arc::from(name)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longest name of a projector: what read stores make of it, such as a schema, has to fit too.
pub const MAX_CONSUMER_NAME_BYTES: usize = 32;

/// The name of a projector: up to 32 lower-case letters, digits and underscores, a letter first.
/// In a database the tables of the projector stand in a schema of this name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerName(Arc<str>);

impl ConsumerName {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, too long, or contains something else.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("projector name", name, MAX_CONSUMER_NAME_BYTES)?;
        if is_consumer_name(name) {
            Ok(Self(Arc::from(name)))
        } else {
            Err(InvalidName::NotAnIdentifier { what: "projector name", name: name.into() })
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a constant can be a projector's name; for checks while compiling.
pub(crate) const fn is_consumer_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    let mut ok = !bytes.is_empty() && bytes.len() <= MAX_CONSUMER_NAME_BYTES;
    while ok && i < bytes.len() {
        // In bounds: the loop's condition.
        #[allow(clippy::indexing_slicing)]
        let byte = bytes[i];
        ok = byte.is_ascii_lowercase() || (i > 0 && (byte.is_ascii_digit() || byte == b'_'));
        i += 1;
    }
    ok
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
        // Lets a map keyed by the name be asked with a `&str`.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
        impl TryFrom<&str> for $name {
            type Error = InvalidName;
            fn try_from(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    )*};
}
text!(StreamName, Category, EventName, SubscriptionName, ConsumerName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_and_reserved_stream_names_are_kept_literally_or_refused() {
        for name in ["x'; drop table events;--", "a%b", "🦀-🦀", "a-b-c", "orders", "a-\n"] {
            assert_eq!(StreamName::new(name).unwrap().as_str(), name);
        }
        let long = "a".repeat(10_000);
        for name in ["", "-", "-x", "a-", "$all", "a-\0", long.as_str()] {
            assert!(StreamName::new(name).is_err(), "{name:?} must be refused");
        }
        assert!(StreamName::new(format!("a-{}", "b".repeat(2_000))).is_ok());
    }

    #[test]
    fn identities_that_are_empty_or_hostile_are_refused() {
        assert_eq!(StreamName::of("account", &7).unwrap().as_str(), "account-7");
        assert!(matches!(StreamName::of("account", &""), Err(InvalidName::Empty { .. })));
        assert!(matches!(StreamName::of("a-b", &1), Err(InvalidName::DashInCategory { .. })));
        assert!(matches!(StreamName::of("account", &"\0"), Err(InvalidName::Nul { .. })));
    }

    #[test]
    fn constants_follow_the_same_rules() {
        for name in ["a", "account", "", "a-b", "$all", "\0"] {
            assert_eq!(is_category(name), Category::new(name).is_ok(), "{name:?}");
        }
        for name in ["a", "bank.money-deposited", "", "$x", "a\0"] {
            assert_eq!(is_event_name(name), EventName::new(name).is_ok(), "{name:?}");
        }
    }
}
