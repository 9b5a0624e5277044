//! Names of projectors, processes and handlers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{InvalidName, check};

/// The maximum length of the name of a consumer in bytes. It leaves room for names that read stores
/// derive from it, such as that of a database schema.
pub const MAX_CONSUMER_NAME_BYTES: usize = 32;

/// The name of a consumer: a projector, a process or a handler.
///
/// It consists of 1 to 32 lower-case letters, digits and underscores, starting with a letter. On
/// Postgres, the tables of a consumer are in a schema named after it.
///
/// ```
/// use cqrs_core::projection::ConsumerName;
///
/// assert!(ConsumerName::new("open_accounts").is_ok());
/// assert!(ConsumerName::new("Open Accounts").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerName(Arc<str>);

impl ConsumerName {
    /// Validates a name.
    ///
    /// # Errors
    /// Returns [`InvalidName`] if the name is empty, longer than [`MAX_CONSUMER_NAME_BYTES`], or
    /// contains other characters.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("consumer name", name, MAX_CONSUMER_NAME_BYTES)?;
        if is_consumer_name(name) {
            Ok(Self(Arc::from(name)))
        } else {
            Err(InvalidName::NotAnIdentifier { what: "consumer name", name: name.into() })
        }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns `true` if a constant is a valid name of a consumer; evaluated at compile time.
#[doc(hidden)]
#[must_use]
pub const fn is_consumer_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    let mut ok = !bytes.is_empty() && bytes.len() <= MAX_CONSUMER_NAME_BYTES;
    while ok && i < bytes.len() {
        // In bounds because of the loop condition.
        #[allow(clippy::indexing_slicing)]
        let byte = bytes[i];
        ok = byte.is_ascii_lowercase() || (i > 0 && (byte.is_ascii_digit() || byte == b'_'));
        i += 1;
    }
    ok
}
