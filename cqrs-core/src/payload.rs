//! The stored form of events, snapshots and states: valid JSON.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The maximum size of a payload: 4 MiB. Store larger documents elsewhere and refer to them.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024;
/// The maximum nesting of arrays and objects in a payload: 100 levels.
pub const MAX_PAYLOAD_DEPTH: usize = 100;

/// JSON text, which every store keeps byte for byte.
///
/// [`encode`](Self::encode) and [`from_json`](Self::from_json) guarantee that it can be read again:
/// it is well formed, within the limits for size and nesting, and without U+0000, which databases
/// cannot store in text.
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
    /// Serializes a value as JSON.
    ///
    /// # Errors
    /// Returns a [`PayloadError`] if the value cannot be serialized, is larger than
    /// [`MAX_PAYLOAD_BYTES`], nested deeper than [`MAX_PAYLOAD_DEPTH`], or contains U+0000.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        // Most events are smaller; a larger one grows the buffer.
        let mut json = Vec::with_capacity(192);
        serde_json::to_writer(&mut json, value).map_err(PayloadError::Serialize)?;
        let json = Bytes::from(json);
        check_storable(&json)?;
        Ok(Self(json))
    }

    /// Validates JSON from another source.
    ///
    /// # Errors
    /// Returns a [`PayloadError`] if the text is not valid JSON or exceeds a limit of
    /// [`encode`](Self::encode).
    pub fn from_json(json: impl Into<Bytes>) -> Result<Self, PayloadError> {
        let json = json.into();
        check_storable(&json)?;
        // A full parse also validates escapes and numbers.
        serde_json::from_slice::<serde_json::Value>(&json).map_err(PayloadError::Malformed)?;
        Ok(Self(json))
    }

    /// Wraps bytes that a store has read back, without validation; for store implementations. If
    /// the bytes are damaged, decoding fails.
    #[must_use]
    pub fn from_stored(json: impl Into<Bytes>) -> Self {
        Self(json.into())
    }

    /// Checks size, depth and NUL of a payload that may come from [`from_stored`](Self::from_stored).
    pub(crate) fn check(&self) -> Result<(), PayloadError> {
        check_storable(&self.0)
    }

    /// Returns the JSON text, or an empty string if a store returned bytes that are not UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the JSON as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the JSON as bytes that share the payload's memory.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Deserializes the JSON.
    ///
    /// # Errors
    /// Returns the error of `serde_json` if the JSON is malformed or has another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({})", String::from_utf8_lossy(&self.0))
    }
}

/// Why a value cannot be stored. Retrying with the same value does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value's `Serialize` failed, or a map has keys that are not strings.
    #[error("cannot serialize the value as JSON")]
    Serialize(#[source] serde_json::Error),
    /// The text is not JSON.
    #[error("the payload is not valid JSON")]
    Malformed(#[source] serde_json::Error),
    /// A string contains U+0000, which databases do not store in text.
    #[error("the payload contains a NUL character")]
    Nul,
    /// The payload is larger than [`MAX_PAYLOAD_BYTES`].
    #[error("the payload has {bytes} bytes, more than the limit of {MAX_PAYLOAD_BYTES}")]
    TooLarge {
        /// The size of the payload.
        bytes: usize,
    },
    /// Arrays and objects are nested deeper than [`MAX_PAYLOAD_DEPTH`].
    #[error("the payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels")]
    TooDeep,
}

/// Checks size, depth and NUL of JSON that is well formed or will be parsed next.
fn check_storable(json: &[u8]) -> Result<(), PayloadError> {
    if json.len() > MAX_PAYLOAD_BYTES {
        return Err(PayloadError::TooLarge { bytes: json.len() });
    }
    // Without an escape there is no \\u0000, and few brackets cannot nest deep. These two passes
    // are vectorized, and they suffice for nearly every event.
    let brackets = json.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets <= MAX_PAYLOAD_DEPTH && !json.contains(&b'\\') {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate() {
        match byte {
            // Of escaped characters, only \u0000 matters.
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
    fn unicode_text_is_stored_byte_for_byte() {
        let text = "🦀 漢字 e\u{301} \" \\ \\u0000 {[";
        let payload = Payload::encode(text).unwrap();
        assert_eq!(payload.decode::<String>().unwrap(), text);
        assert_eq!(Payload::from_json(payload.to_bytes()).unwrap(), payload);
    }

    #[test]
    fn payloads_that_could_not_be_read_again_are_invalid() {
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
    fn the_maximum_nesting_can_be_decoded() {
        let deep = format!("{}{}", "[".repeat(MAX_PAYLOAD_DEPTH), "]".repeat(MAX_PAYLOAD_DEPTH));
        let payload = Payload::from_json(deep).unwrap();
        assert!(payload.decode::<serde_json::Value>().is_ok());
    }
}
