//! Validated names of streams, categories, event types, subscriptions and consumers.
//!
//! A stream is named `category-id`, for example `account-7f3a`. Everything before the first dash is
//! its category. No character of a name has a special meaning: quotes, percent signs and emoji are
//! stored unchanged.

mod consumer;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::consumer::{ConsumerName, MAX_CONSUMER_NAME_BYTES, is_consumer_name};

/// The maximum length of a stream name in bytes of UTF-8, chosen to fit an index entry in every
/// store.
pub const MAX_STREAM_NAME_BYTES: usize = 2_048;
/// The maximum length of a category in bytes of UTF-8.
pub const MAX_CATEGORY_BYTES: usize = 255;
/// The maximum length of the name of an event type in bytes of UTF-8.
pub const MAX_EVENT_NAME_BYTES: usize = 255;

/// Why a name is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name is empty.
    #[error("{what} is empty")]
    Empty {
        /// The kind of name: `stream name`, `category`, `aggregate id`, `event type` ...
        what: &'static str,
    },
    /// The name is longer than the maximum.
    #[error("{what} has {bytes} bytes, more than {max}")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// The length in bytes.
        bytes: usize,
        /// The maximum in bytes.
        max: usize,
    },
    /// The name contains U+0000, which databases do not store in text.
    #[error("{what} contains a NUL character")]
    Nul {
        /// The kind of name.
        what: &'static str,
    },
    /// The name starts with `$`, which is reserved for the store's own names such as `$all`.
    #[error("{what} starts with `$`, which is reserved")]
    Reserved {
        /// The kind of name.
        what: &'static str,
    },
    /// The name contains characters other than lower-case letters, digits and underscores, or does
    /// not start with a letter.
    #[error(
        "{what} `{name}` must consist of lower-case letters, digits and underscores, and start with a letter"
    )]
    NotAnIdentifier {
        /// The kind of name.
        what: &'static str,
        /// The invalid name.
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
    /// The category contains a dash. The first dash of a stream name separates category and id.
    #[error("category `{category}` contains a dash")]
    DashInCategory {
        /// The invalid category.
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

/// Checks the text of an id for `derive(Id)`. The longest id still fits a stream name together with
/// the longest category and a dash.
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

/// The name of a stream: `category-id`, or just `category` if the category has only one stream.
///
/// Clones are cheap: they share the text.
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
    /// Validates a name.
    ///
    /// # Errors
    /// Returns [`InvalidName`] if the name is empty, longer than [`MAX_STREAM_NAME_BYTES`],
    /// contains NUL, starts with `$` or a dash, has a category longer than [`MAX_CATEGORY_BYTES`],
    /// or has no id after the first dash.
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

    /// Returns the name of the stream of an aggregate: `category-id`.
    ///
    /// ```
    /// use cqrs_core::StreamName;
    ///
    /// assert_eq!(StreamName::of("account", &7)?.as_str(), "account-7");
    /// # Ok::<(), cqrs_core::store::InvalidName>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`InvalidName`] if the category is invalid, or the id is empty, too long or contains
    /// NUL.
    pub fn of(category: &str, id: &impl fmt::Display) -> Result<Self, InvalidName> {
        use fmt::Write as _;
        let mut name = String::with_capacity(category.len() + 37);
        name.push_str(category);
        name.push('-');
        // Writing into a String fails only if the `Display` of the id does.
        let written = write!(name, "{id}");
        if written.is_err() || name.len() == category.len() + 1 {
            return Err(InvalidName::Empty { what: "aggregate id" });
        }
        if category.contains('-') {
            return Err(InvalidName::DashInCategory { category: category.into() });
        }
        Self::new(name)
    }

    /// Returns the complete name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the first dash.
    #[must_use]
    pub fn category(&self) -> &str {
        split(&self.0).0
    }

    /// Returns the part after the first dash, or `None` if there is no dash.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        split(&self.0).1
    }
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('-').map_or((name, None), |(category, id)| (category, Some(id)))
}

/// The first part of stream names, which all aggregates of one kind share: `account` in
/// `account-7`.
///
/// ```
/// use cqrs_core::store::Category;
///
/// assert_eq!(Category::new("account")?.as_str(), "account");
/// assert!(Category::new("savings-account").is_err());
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Category(Arc<str>);

impl Category {
    /// Validates a category.
    ///
    /// # Errors
    /// Returns [`InvalidName`] if the category is empty, longer than [`MAX_CATEGORY_BYTES`], contains
    /// NUL or a dash, or starts with `$`.
    pub fn new(category: impl AsRef<str>) -> Result<Self, InvalidName> {
        let category = category.as_ref();
        check("category", category, MAX_CATEGORY_BYTES)?;
        if category.contains('-') {
            return Err(InvalidName::DashInCategory { category: category.into() });
        }
        Ok(Self(Arc::from(category)))
    }

    /// Returns the category as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns `true` if a constant is a valid category; evaluated at compile time.
#[doc(hidden)]
#[must_use]
pub const fn is_category(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    let mut ok = !bytes.is_empty() && bytes.len() <= MAX_CATEGORY_BYTES;
    while ok && i < bytes.len() {
        // In bounds because of the loop condition.
        #[allow(clippy::indexing_slicing)]
        let byte = bytes[i];
        ok = byte != b'-' && byte != 0 && !(i == 0 && byte == b'$');
        i += 1;
    }
    ok
}

/// The stored name of an event type, such as `bank.money-deposited`.
///
/// It is part of the stored data and must never change, so it is independent of the names of Rust
/// types.
///
/// ```
/// use cqrs_core::event::EventName;
///
/// assert_eq!(EventName::new("bank.money-deposited")?.as_str(), "bank.money-deposited");
/// assert!(EventName::new("$deposited").is_err());
/// # Ok::<(), cqrs_core::event::InvalidName>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventName(Name);

#[derive(Clone)]
enum Name {
    Constant(&'static str),
    Shared(Arc<str>),
}

impl EventName {
    /// Validates a name.
    ///
    /// # Errors
    /// Returns [`InvalidName`] if the name is empty, longer than [`MAX_EVENT_NAME_BYTES`], contains
    /// NUL or starts with `$`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("event type", name, MAX_EVENT_NAME_BYTES)?;
        Ok(Self(Name::Shared(Arc::from(name))))
    }

    /// Creates a name from a constant that [`EventType::new`](crate::EventType) has validated at
    /// compile time.
    pub(crate) const fn constant(name: &'static str) -> Self {
        Self(Name::Constant(name))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Constant(name) => name,
            Name::Shared(name) => name,
        }
    }
}

/// Returns `true` if a constant is a valid name of an event type; evaluated at compile time.
pub(crate) const fn is_event_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    let mut ok = !bytes.is_empty() && bytes.len() <= MAX_EVENT_NAME_BYTES;
    while ok && i < bytes.len() {
        // In bounds because of the loop condition.
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
///
/// ```
/// use cqrs_core::subscription::SubscriptionName;
///
/// assert_eq!(SubscriptionName::new("billing")?.as_str(), "billing");
/// assert!(SubscriptionName::new("").is_err());
/// # Ok::<(), cqrs_core::event::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionName(Arc<str>);

impl SubscriptionName {
    /// Validates a name.
    ///
    /// # Errors
    /// Returns [`InvalidName`] if the name is empty, longer than 255 bytes, contains NUL or starts
    /// with `$`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("subscription name", name, MAX_EVENT_NAME_BYTES)?;
        Ok(Self(Arc::from(name)))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
        // Allows looking up a `&str` in a map that is keyed by the name.
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
    fn stream_names_are_stored_literally_or_invalid() {
        for name in ["x'; drop table events;--", "a%b", "🦀-🦀", "a-b-c", "orders", "a-\n"] {
            assert_eq!(StreamName::new(name).unwrap().as_str(), name);
        }
        let long = "a".repeat(10_000);
        for name in ["", "-", "-x", "a-", "$all", "a-\0", long.as_str()] {
            assert!(StreamName::new(name).is_err(), "{name:?} must be invalid");
        }
        assert!(StreamName::new(format!("a-{}", "b".repeat(2_000))).is_ok());
    }

    #[test]
    fn ids_that_are_empty_or_contain_nul_are_invalid() {
        assert_eq!(StreamName::of("account", &7).unwrap().as_str(), "account-7");
        assert!(matches!(StreamName::of("account", &""), Err(InvalidName::Empty { .. })));
        assert!(matches!(StreamName::of("a-b", &1), Err(InvalidName::DashInCategory { .. })));
        assert!(matches!(StreamName::of("account", &"\0"), Err(InvalidName::Nul { .. })));
    }

    #[test]
    fn constants_are_validated_by_the_same_rules() {
        for name in ["a", "account", "", "a-b", "$all", "\0"] {
            assert_eq!(is_category(name), Category::new(name).is_ok(), "{name:?}");
        }
        for name in ["a", "bank.money-deposited", "", "$x", "a\0"] {
            assert_eq!(is_event_name(name), EventName::new(name).is_ok(), "{name:?}");
        }
    }
}
