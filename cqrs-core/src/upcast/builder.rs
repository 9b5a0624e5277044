//! Collecting upcasters, and checking them against each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::{InvalidUpcasters, Target, UpcastFailure, Upcaster, Upcasters};
use crate::{EventName, InvalidName, RecordedEvent};

/// Collects upcasters. Created by [`Upcasters::builder`].
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

/// Converts the stored JSON to one JSON value per target.
type Mapping = dyn Fn(Value, &RecordedEvent) -> Result<Vec<Value>, UpcastFailure> + Send + Sync;

impl std::fmt::Debug for UpcastersBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| (&step.name, step.version))).finish()
    }
}

impl UpcastersBuilder {
    /// Adds a step from a version of an event to the next version of the same event. The function
    /// receives and returns the content as JSON.
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

    /// Adds a step that replaces a version of an event with one event of another name, with several
    /// events, or with none. The function receives the content as JSON and the complete record, and
    /// returns one JSON value per target, in the order of the targets.
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

    /// Drops a version of an event from all reads. Checkpoints and aggregate versions still advance
    /// over it.
    #[must_use]
    pub fn drop(self, name: &str, version: u32) -> Self {
        self.replace(name, version, &[], |_, _| Ok(Vec::new()))
    }

    /// Checks the upcasters against each other and returns them.
    ///
    /// # Errors
    /// Returns [`InvalidUpcasters`] if a name is invalid, two steps convert the same version of an
    /// event, or steps form a cycle.
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
                    Err(format!(
                        "the upcaster returned {} values for {} targets",
                        parts.len(),
                        to.len()
                    )
                    .into())
                }
            });
            let versions = steps.entry(name.clone()).or_default();
            if versions.insert(version, Upcaster { targets, step }).is_some() {
                return Err(InvalidUpcasters::Repeated { name, version });
            }
        }
        let upcasters = Upcasters { steps: Arc::new(steps) };
        upcasters.check_cycles()?;
        Ok(upcasters)
    }
}

impl Upcasters {
    fn check_cycles(&self) -> Result<(), InvalidUpcasters> {
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
