//! The stored form of events, snapshots and states: JSON that can be read back.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest payload in bytes. Events are small; a document belongs beside the log.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024;
/// Deepest nesting of arrays and objects that every reader can follow.
pub const MAX_PAYLOAD_DEPTH: usize = 100;

/// One JSON text. Every store keeps it as it is, byte for byte.
///
/// A payload made here can always be read again: it is well formed, not too deep, not too large
/// and free of U+0000, which databases cannot put into text.
///
/// ```
/// use cqrs_core::event::Payload;
///
/// let payload = Payload::encode(&("sku-1", 3))?;
/// assert_eq!(payload.as_str(), r#"["sku-1",3]"#);
/// assert_eq!(payload.decode::<(String, u32)>()?, ("sku-1".to_owned(), 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`PayloadError`] when the value cannot be JSON or JSON that a store can keep.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        // Most events are smaller; a larger one grows the buffer.
        let mut json = Vec::with_capacity(192);
        serde_json::to_writer(&mut json, value).map_err(PayloadError::Serialize)?;
        let json = Bytes::from(json);
        check_storable(&json)?;
        Ok(Self(json))
    }

    /// Takes JSON that somebody else wrote, after reading it through.
    ///
    /// # Errors
    /// [`PayloadError`] when it is not JSON or not JSON that a store can keep.
    pub fn from_json(json: impl Into<Bytes>) -> Result<Self, PayloadError> {
        let json = json.into();
        check_storable(&json)?;
        // A full reading, so that escapes and numbers are proven too, not only the brackets.
        serde_json::from_slice::<serde_json::Value>(&json).map_err(PayloadError::Malformed)?;
        Ok(Self(json))
    }

    /// For stores: what was read back, believed as it is. If it is broken, decoding it says so.
    #[must_use]
    pub fn from_stored(json: impl Into<Bytes>) -> Self {
        Self(json.into())
    }

    /// Size, depth and NUL once more, for payloads that were [only believed](Self::from_stored).
    pub(crate) fn check(&self) -> Result<(), PayloadError> {
        check_storable(&self.0)
    }

    /// The JSON text. Empty if a store handed back something that is not UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The JSON bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The JSON bytes, sharing the memory.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Reads the JSON as a value.
    ///
    /// # Errors
    /// What `serde_json` says when the JSON is broken or not of that shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({})", String::from_utf8_lossy(&self.0))
    }
}

/// Why a value cannot be stored. Trying again with the same value cannot help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value's `Serialize` refused, or it has a map with keys that are not text.
    #[error("the value cannot be written as JSON")]
    Serialize(#[source] serde_json::Error),
    /// The text is not JSON.
    #[error("the payload is not JSON")]
    Malformed(#[source] serde_json::Error),
    /// A string in it contains U+0000, which databases do not store in text.
    #[error("the payload contains a NUL character")]
    Nul,
    /// It is larger than a store keeps.
    #[error("the payload has {bytes} bytes, the limit is {MAX_PAYLOAD_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Its arrays and objects are nested deeper than readers follow.
    #[error("the payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels")]
    TooDeep,
}

/// Size, depth and NUL of JSON that is well formed or will be parsed next.
fn check_storable(json: &[u8]) -> Result<(), PayloadError> {
    if json.len() > MAX_PAYLOAD_BYTES {
        return Err(PayloadError::TooLarge { bytes: json.len() });
    }
    // Without an escape there is no \\u0000, and few brackets cannot nest deep: two passes that
    // the processor takes many bytes at a time, and nearly every event needs no more.
    let brackets = json.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets <= MAX_PAYLOAD_DEPTH && !json.contains(&b'\\') {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate() {
        match byte {
            // An escaped character opens and closes nothing; only \u0000 matters.
            b'u' if escaped && json.get(at..at + 5) == Some(b"u0000") => {
                return Err(PayloadError::Nul);
            }
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_PAYLOAD_DEPTH {
                    return Err(PayloadError::TooDeep);
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_outside_the_basic_plane_survives_byte_for_byte() {
        let text = "🦀 漢字 e\u{301} \" \\ \\u0000 {[";
        let payload = Payload::encode(text).unwrap();
        assert_eq!(payload.decode::<String>().unwrap(), text);
        assert_eq!(Payload::from_json(payload.to_bytes()).unwrap(), payload);
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        assert!(matches!(Payload::encode("a\0b"), Err(PayloadError::Nul)));
        assert!(matches!(Payload::from_json(r#""\u0000""#), Err(PayloadError::Nul)));
        assert!(matches!(Payload::from_json(r#"{"a":"#), Err(PayloadError::Malformed(_))));
        assert!(matches!(Payload::from_json(r#""\ud800""#), Err(PayloadError::Malformed(_))));
        assert!(matches!(
            Payload::from_json(vec![b'"', 0xff, b'"']),
            Err(PayloadError::Malformed(_))
        ));
        let deep = "[".repeat(100_000);
        assert!(matches!(Payload::from_json(deep), Err(PayloadError::TooDeep)));
        let large = format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES));
        assert!(matches!(Payload::from_json(large), Err(PayloadError::TooLarge { .. })));
        let keys = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(matches!(Payload::encode(&keys), Err(PayloadError::Serialize(_))));
    }

    #[test]
    fn the_deepest_allowed_nesting_can_be_read() {
        let deep = format!("{}{}", "[".repeat(MAX_PAYLOAD_DEPTH), "]".repeat(MAX_PAYLOAD_DEPTH));
        let payload = Payload::from_json(deep).unwrap();
        assert!(payload.decode::<serde_json::Value>().is_ok());
    }
}
