//! Upcasters: functions that convert old events to their current version when they are read.
//!
//! An upcaster converts the JSON of one stored name and version to that of newer ones. No Rust
//! types are involved, so the types of old versions can be deleted. Stored events are never
//! changed.
//!
//! Pass the [`Upcasters`] to [`AppBuilder::upcasters`](crate::app::AppBuilder::upcasters).
//! [`Upcasting`] applies them to a store without an [`App`](crate::App).

mod builder;
mod store;

pub use builder::UpcastersBuilder;
pub use store::Upcasting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::{
    DecodeError, DecodeFailure, Event, EventName, InvalidName, Payload, RawEvent, RecordedEvent,
};

/// The error of an upcaster: any error type, or a string.
pub type UpcastFailure = Box<dyn std::error::Error + Send + Sync>;

type Step =
    dyn Fn(Value, &RecordedEvent) -> Result<Vec<(Target, Value)>, UpcastFailure> + Send + Sync;

/// A stored name and schema version that a step leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    name: EventName,
    version: u32,
}

struct Upcaster {
    targets: Vec<Target>,
    step: Box<Step>,
}

/// A set of upcasters whose steps have been checked against each other.
///
/// ```
/// use cqrs_core::Upcasters;
/// use serde_json::{Value, json};
///
/// let upcasters = Upcasters::builder()
///     // v1 stored the amount as text: "12.50".
///     .step("bank.money-deposited", 1, |mut event| {
///         let text = event["amount"].as_str().ok_or("no amount")?.replace('.', "");
///         event["amount"] = Value::from(text.parse::<i64>()?);
///         Ok(event)
///     })
///     // v2 had no transfers.
///     .step("bank.money-deposited", 2, |mut event| {
///         event["transfer_id"] = Value::Null;
///         Ok(event)
///     })
///     // One event became two.
///     .replace("bank.moved", 1, &[("bank.withdrawn", 1), ("bank.deposited", 1)], |event, _| {
///         Ok(vec![json!({"from": event["from"]}), json!({"to": event["to"]})])
///     })
///     // No longer used.
///     .drop("bank.debug", 1)
///     .build()?;
/// assert_eq!(format!("{upcasters:?}").matches("bank.moved v1").count(), 1);
/// # Ok::<(), cqrs_core::upcast::InvalidUpcasters>(())
/// ```
#[derive(Clone, Default)]
pub struct Upcasters {
    steps: Arc<HashMap<EventName, BTreeMap<u32, Upcaster>>>,
}

/// Why a set of upcasters cannot be used. Reported when the application is built, before any event is
/// read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUpcasters {
    /// A name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Two steps convert the same version of an event.
    #[error("two upcasters convert {name} v{version}")]
    Repeated {
        /// The stored name.
        name: EventName,
        /// The stored version.
        version: u32,
    },
    /// The steps form a cycle.
    #[error("the upcasters of {name} v{version} lead back to it")]
    Circular {
        /// The stored name.
        name: EventName,
        /// The stored version.
        version: u32,
    },
    /// No step leads from an earlier version of an event type towards the current one.
    #[error("no upcaster from {name} v{from}; the current version is v{to}")]
    Missing {
        /// The stored name.
        name: EventName,
        /// The version without a step.
        from: u32,
        /// The current version.
        to: u32,
    },
}

impl Upcasters {
    /// Returns an empty builder.
    #[must_use]
    pub fn builder() -> UpcastersBuilder {
        UpcastersBuilder::default()
    }

    /// Returns `true` if there are no steps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Checks that every earlier version of an event set can be converted to the current one.
    ///
    /// ```
    /// use cqrs_core::event::{DecodeFailure, EventType, Payload, PayloadError};
    /// use cqrs_core::{Event, Upcasters};
    ///
    /// struct Deposited(i64);
    ///
    /// impl Event for Deposited {
    ///     const TYPES: &'static [EventType] = &[EventType::new("bank.money-deposited", 2)];
    /// #   fn event_type(&self) -> EventType { Self::TYPES[0] }
    /// #   fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&self.0) }
    /// #   fn decode(_: &str, payload: &Payload) -> Result<Self, DecodeFailure> { Ok(Self(payload.decode()?)) }
    ///     // ...
    /// }
    ///
    /// let missing = Upcasters::default().check::<Deposited>().unwrap_err();
    /// assert_eq!(
    ///     missing.to_string(),
    ///     "no upcaster from bank.money-deposited v1; the current version is v2"
    /// );
    /// ```
    ///
    /// # Errors
    /// Returns [`InvalidUpcasters::Missing`] with the first missing step.
    pub fn check<E: Event>(&self) -> Result<(), InvalidUpcasters> {
        for known in E::TYPES {
            for from in 1..known.version() {
                if self.find(known.name(), from).is_none() {
                    let (name, to) = (known.event_name(), known.version());
                    return Err(InvalidUpcasters::Missing { name, from, to });
                }
            }
        }
        Ok(())
    }

    fn find(&self, name: &str, version: u32) -> Option<&Upcaster> {
        self.steps.get(name)?.get(&version)
    }

    fn concerns(&self, event: &RecordedEvent) -> bool {
        self.find(event.event.name.as_str(), event.event.schema_version).is_some()
    }

    /// Converts an event to its current version. The result may be empty, or several events that
    /// all have the version and position of the stored event.
    ///
    /// # Errors
    /// Returns a [`DecodeError`] if a step fails on the stored content.
    pub fn apply(&self, event: &RecordedEvent) -> Result<Vec<RecordedEvent>, DecodeError> {
        if !self.concerns(event) {
            return Ok(vec![event.clone()]);
        }
        let failed = |failure| DecodeError::at(event, failure);
        let json = event.event.payload.decode().map_err(|e| failed(e.into()))?;
        let start = Target { name: event.event.name.clone(), version: event.event.schema_version };
        // A stack with the next part on top preserves the order of the parts.
        let (mut open, mut done) = (vec![(start, json)], Vec::new());
        while let Some((at, json)) = open.pop() {
            if let Some(upcaster) = self.find(at.name.as_str(), at.version) {
                let next = (upcaster.step)(json, event)
                    .map_err(|reason| failed(DecodeFailure::Upcast(reason)))?;
                open.extend(next.into_iter().rev());
            } else {
                let payload = Payload::encode(&json)
                    .map_err(|error| failed(DecodeFailure::Upcast(error.into())))?;
                done.push(event.with_event(RawEvent::new(at.name, at.version, payload)));
            }
        }
        Ok(done)
    }

    /// Returns these names and all stored names that upcasters can convert to them.
    fn sources(&self, names: &[EventName]) -> Vec<EventName> {
        let mut wanted: HashSet<EventName> = names.iter().cloned().collect();
        loop {
            let before = wanted.len();
            for (name, versions) in &*self.steps {
                let leads = versions.values().flat_map(|upcaster| &upcaster.targets);
                if leads.into_iter().any(|target| wanted.contains(&target.name)) {
                    wanted.insert(name.clone());
                }
            }
            if wanted.len() == before {
                return wanted.into_iter().collect();
            }
        }
    }
}

impl std::fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.steps.iter().flat_map(|(name, versions)| {
            versions.iter().map(move |(version, to)| (format!("{name} v{version}"), &to.targets))
        });
        f.debug_map().entries(from).finish()
    }
}
