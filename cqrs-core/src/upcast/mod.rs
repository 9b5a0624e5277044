//! Upcasters: old stored events read as today's, without rewriting a byte.
//!
//! An upcaster is a step from one stored (name, version) to newer ones, on JSON and before any
//! Rust type is involved, so the types of old versions can be deleted. [`Upcasting`] puts the
//! steps around a store: whoever reads through it sees only today's events.

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

/// What an upcaster may fail with: a reason, made from text or any error.
pub type UpcastFailure = Box<dyn std::error::Error + Send + Sync>;

type Step =
    dyn Fn(Value, &RecordedEvent) -> Result<Vec<(Target, Value)>, UpcastFailure> + Send + Sync;

/// What a step leads to: a stored name and its schema version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    name: EventName,
    version: u32,
}

struct Upcaster {
    targets: Vec<Target>,
    step: Box<Step>,
}

/// A checked set of steps.
///
/// ```
/// use cqrs_core::Upcasters;
/// use serde_json::{Value, json};
///
/// let upcasters = Upcasters::builder()
///     // v1 had the amount as text: "12.50"
///     .step("bank.money-deposited", 1, |mut event| {
///         let text = event["amount"].as_str().ok_or("no amount")?.replace('.', "");
///         event["amount"] = Value::from(text.parse::<i64>()?);
///         Ok(event)
///     })
///     // v2 did not know transfers
///     .step("bank.money-deposited", 2, |mut event| {
///         event["transfer_id"] = Value::Null;
///         Ok(event)
///     })
///     // two facts that were once one event
///     .replace("bank.moved", 1, &[("bank.withdrawn", 1), ("bank.deposited", 1)], |event, _| {
///         Ok(vec![json!({"from": event["from"]}), json!({"to": event["to"]})])
///     })
///     // never meant anything
///     .drop("bank.debug", 1)
///     .build()?;
/// # Ok::<(), cqrs_core::upcast::InvalidUpcasters>(())
/// ```
#[derive(Clone, Default)]
pub struct Upcasters {
    steps: Arc<HashMap<EventName, BTreeMap<u32, Upcaster>>>,
}

/// Why a set of upcasters cannot be used; found at start, before any event is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUpcasters {
    /// A name is refused.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Two steps start from the same stored version.
    #[error("two upcasters for {name} v{version}")]
    Repeated {
        /// The stored name.
        name: EventName,
        /// The stored version.
        version: u32,
    },
    /// Following the steps never ends.
    #[error("the upcasters of {name} v{version} lead back to it")]
    Circular {
        /// The stored name.
        name: EventName,
        /// The stored version.
        version: u32,
    },
    /// A type is written at a later version, and nothing leads there from an earlier one.
    #[error("no upcaster from {name} v{from}; it is written as v{to} today")]
    Missing {
        /// The stored name.
        name: EventName,
        /// The version without a step.
        from: u32,
        /// The version written today.
        to: u32,
    },
}

impl Upcasters {
    /// Starts a set.
    #[must_use]
    pub fn builder() -> UpcastersBuilder {
        UpcastersBuilder::default()
    }

    /// Whether there is no step at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether every earlier version of these events can be brought to the one written today.
    ///
    /// # Errors
    /// [`InvalidUpcasters::Missing`] names the first step that is not there.
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

    /// Follows the steps of one event to the end; the parts keep its place in the log.
    ///
    /// # Errors
    /// [`DecodeError`] when the stored content is not what a step expects.
    pub fn apply(&self, event: &RecordedEvent) -> Result<Vec<RecordedEvent>, DecodeError> {
        if !self.concerns(event) {
            return Ok(vec![event.clone()]);
        }
        let failed = |failure| DecodeError::at(event, failure);
        let json = event.event.payload.decode().map_err(|e| failed(e.into()))?;
        let start = Target { name: event.event.name.clone(), version: event.event.schema_version };
        // A stack with the next part on top keeps the parts in order.
        let (mut open, mut done) = (vec![(start, json)], Vec::new());
        while let Some((at, json)) = open.pop() {
            if let Some(upcaster) = self.find(at.name.as_str(), at.version) {
                let next = (upcaster.step)(json, event).map_err(|reason| {
                    failed(DecodeFailure::Upcast { reason: reason.to_string() })
                })?;
                open.extend(next.into_iter().rev());
            } else {
                let payload = Payload::encode(&json)
                    .map_err(|error| failed(DecodeFailure::Upcast { reason: error.to_string() }))?;
                done.push(event.with_event(RawEvent::new(at.name, at.version, payload)));
            }
        }
        Ok(done)
    }

    /// The stored names that can become one of these.
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
