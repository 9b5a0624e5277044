//! Upcasters: old stored events read as today's, without rewriting a byte.
//!
//! An upcaster is a step from one stored (name, version) to newer ones, on JSON and before any
//! Rust type is involved, so the types of old versions can be deleted. [`Upcasting`] puts the
//! steps around a store: whoever reads through it sees only today's events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::Value;

use crate::store::{
    Append, AppendError, Appended, CommandRecord, EventStore, Filter, LogRead, Page, Pages,
    ReadError, StoreError, StreamInfo, StreamListing, StreamQuery, StreamRead,
};
use crate::{
    CommandId, DecodeError, DecodeFailure, Event, EventName, InvalidName, Payload, Position,
    RawEvent, RecordedEvent, StreamName, Timestamp, Version,
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
/// # Ok::<(), cqrs_core::InvalidUpcasters>(())
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

/// Collects steps; [`build`](Self::build) checks them.
#[derive(Default)]
pub struct UpcastersBuilder {
    steps: Vec<Unchecked>,
}

struct Unchecked {
    name: String,
    version: u32,
    targets: Vec<(String, u32)>,
    mapping: Box<Mapping>,
}

/// From the stored JSON to one JSON for each target.
type Mapping = dyn Fn(Value, &RecordedEvent) -> Result<Vec<Value>, UpcastFailure> + Send + Sync;

impl std::fmt::Debug for UpcastersBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| (&step.name, step.version))).finish()
    }
}

impl UpcastersBuilder {
    /// From one version of an event to the next of the same name.
    #[must_use]
    pub fn step(
        self,
        name: &str,
        version: u32,
        step: impl Fn(Value) -> Result<Value, UpcastFailure> + Send + Sync + 'static,
    ) -> Self {
        let to = [(name, version.saturating_add(1))];
        self.replace(name, version, &to, move |json, _| Ok(vec![step(json)?]))
    }

    /// From one version of an event to others: another name, several events, none. The step
    /// returns one JSON for each target, in their order, and may look at the whole record.
    #[must_use]
    pub fn replace(
        mut self,
        name: &str,
        version: u32,
        targets: &[(&str, u32)],
        step: impl Fn(Value, &RecordedEvent) -> Result<Vec<Value>, UpcastFailure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let targets = targets.iter().map(|(name, version)| ((*name).to_owned(), *version));
        self.steps.push(Unchecked {
            name: name.to_owned(),
            version,
            targets: targets.collect(),
            mapping: Box::new(step),
        });
        self
    }

    /// Leaves an event out. Readers' cursors and versions move over it all the same.
    #[must_use]
    pub fn drop(self, name: &str, version: u32) -> Self {
        self.replace(name, version, &[], |_, _| Ok(Vec::new()))
    }

    /// Checks the steps against each other.
    ///
    /// # Errors
    /// [`InvalidUpcasters`]: a bad name, two steps from one version, or a circle.
    pub fn build(self) -> Result<Upcasters, InvalidUpcasters> {
        let mut steps: HashMap<EventName, BTreeMap<u32, Upcaster>> = HashMap::new();
        for Unchecked { name, version, targets, mapping } in self.steps {
            let name = EventName::new(name)?;
            let targets = targets
                .into_iter()
                .map(|(name, version)| Ok(Target { name: EventName::new(name)?, version }))
                .collect::<Result<Vec<_>, InvalidName>>()?;
            let to = targets.clone();
            let step = Box::new(move |json, event: &RecordedEvent| {
                let parts = mapping(json, event)?;
                if parts.len() == to.len() {
                    Ok(to.iter().cloned().zip(parts).collect())
                } else {
                    Err(format!("{} parts for {} targets", parts.len(), to.len()).into())
                }
            });
            let versions = steps.entry(name.clone()).or_default();
            if versions.insert(version, Upcaster { targets, step }).is_some() {
                return Err(InvalidUpcasters::Repeated { name, version });
            }
        }
        let upcasters = Upcasters { steps: Arc::new(steps) };
        upcasters.check_circles()?;
        Ok(upcasters)
    }
}

impl Upcasters {
    fn check_circles(&self) -> Result<(), InvalidUpcasters> {
        for (name, versions) in &*self.steps {
            for (version, upcaster) in versions {
                let start = Target { name: name.clone(), version: *version };
                let mut seen = HashSet::new();
                let mut open = upcaster.targets.clone();
                while let Some(at) = open.pop() {
                    if at == start {
                        let (name, version) = (at.name, at.version);
                        return Err(InvalidUpcasters::Circular { name, version });
                    }
                    if seen.insert(at.clone())
                        && let Some(next) = self.find(at.name.as_str(), at.version)
                    {
                        open.extend(next.targets.iter().cloned());
                    }
                }
            }
        }
        Ok(())
    }
}

/// A store whose events are read at today's version. Writing goes through unchanged.
///
/// One stored event may become several with the same id, version and position, or none: a limit
/// counts stored events, and a page may come out empty.
#[derive(Clone, Debug)]
pub struct Upcasting<S> {
    store: S,
    upcasters: Upcasters,
}

impl<S: EventStore> Upcasting<S> {
    /// Puts the steps around a store.
    #[must_use]
    pub const fn new(store: S, upcasters: Upcasters) -> Self {
        Self { store, upcasters }
    }

    fn pages<At: Send + 'static>(&self, pages: Pages<At>, wanted: Vec<EventName>) -> Pages<At> {
        let upcasters = self.upcasters.clone();
        Box::pin(pages.map(move |page| upcasters.page(page?, &wanted)))
    }
}

impl Upcasters {
    fn page<At>(&self, page: Page<At>, wanted: &[EventName]) -> Result<Page<At>, ReadError> {
        if !page.events.iter().any(|event| self.concerns(event)) {
            return Ok(page);
        }
        let mut events = Vec::with_capacity(page.events.len());
        for event in page.events {
            if self.concerns(&event) {
                let parts = self.apply(&event)?.into_iter();
                events.extend(
                    parts.filter(|part| wanted.is_empty() || wanted.contains(&part.event.name)),
                );
            } else {
                events.push(event);
            }
        }
        Ok(Page::new(events, page.through))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore> EventStore for Upcasting<S> {
    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        self.pages(self.store.read_stream(read), Vec::new())
    }

    fn read_log(&self, mut read: LogRead) -> Pages<Position> {
        let wanted = std::mem::take(&mut read.filter.types);
        read.filter = Filter { types: self.upcasters.sources(&wanted), ..read.filter };
        self.pages(self.store.read_log(read), wanted)
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(append).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }
    async fn head_beyond(&self, position: Position) {
        self.store.head_beyond(position).await;
    }
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        self.store.stream_info(stream).await
    }
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamListing, StoreError> {
        self.store.list_streams(query).await
    }
    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.store.find_command(id).await
    }
    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        self.store.forget_commands(recorded_before).await
    }
}
