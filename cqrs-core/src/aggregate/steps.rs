//! Decisions in several steps, each of which sees the state after the earlier ones.

use crate::Aggregate;

/// Collects the events of a decision step by step. Each step sees the state after the earlier ones.
///
/// If a step fails and its error is returned with `?`, the events of all steps are dropped.
///
/// ```
/// # use cqrs_core::{Aggregate, Command, Event};
/// # use cqrs_core::event::{DecodeFailure, EventType, Payload, PayloadError};
/// use cqrs_core::aggregate::Steps;
///
/// # #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// # struct Take { from: String, times: u32 }
/// # impl Command for Take { type Aggregate = Jar; fn aggregate_id(&self) -> String { self.from.clone() } }
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)] struct Taken;
/// # impl Event for Taken {
/// #     const TYPES: &'static [EventType] = &[EventType::new("jar.taken", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(self) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(p.decode()?) }
/// # }
/// # #[derive(Debug, PartialEq)] struct Empty;
/// # impl std::fmt::Display for Empty { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("empty") } }
/// # impl std::error::Error for Empty {}
/// #[derive(Clone)]
/// struct Jar { left: u32 }
///
/// impl Jar {
///     fn take_one(&self) -> Result<Vec<Taken>, Empty> {
///         if self.left == 0 { Err(Empty) } else { Ok(vec![Taken]) }
///     }
/// }
/// # impl Default for Jar { fn default() -> Self { Jar { left: 2 } } }
///
/// impl Aggregate for Jar {
/// #   const CATEGORY: &'static str = "jar";
/// #   type Id = String; type Command = Take; type Event = Taken; type Error = Empty;
///     fn execute(&self, take: Take) -> Result<Vec<Taken>, Empty> {
///         let mut steps = Steps::new(self);
///         for _ in 0..take.times {
///             steps.then(Jar::take_one)?; // sees the state after the steps before it
///         }
///         Ok(steps.into_events())
///     }
/// #   fn apply(&mut self, _: &Taken) { self.left -= 1; }
///     // ...
/// }
///
/// let jar = Jar::default();
/// assert_eq!(jar.execute(Take { from: "a".into(), times: 2 }).unwrap().len(), 2);
/// assert_eq!(jar.execute(Take { from: "a".into(), times: 3 }), Err(Empty));
/// ```
#[derive(Debug)]
pub struct Steps<A: Aggregate> {
    state: A,
    events: Vec<A::Event>,
}

impl<A: Aggregate + Clone> Steps<A> {
    /// Starts with a copy of the state.
    #[must_use]
    pub fn new(state: &A) -> Self {
        Self { state: state.clone(), events: Vec::new() }
    }
}

impl<A: Aggregate> Steps<A> {
    /// Decides one step on the state after the steps before it, and returns the state after this
    /// one.
    ///
    /// # Errors
    /// Returns the error of the step, whose events are not added.
    pub fn then(
        &mut self,
        step: impl FnOnce(&A) -> Result<Vec<A::Event>, A::Error>,
    ) -> Result<&A, A::Error> {
        let events = step(&self.state)?;
        events.iter().for_each(|event| self.state.apply(event));
        self.events.extend(events);
        Ok(&self.state)
    }

    /// Returns the state after all steps.
    #[must_use]
    pub const fn state(&self) -> &A {
        &self.state
    }

    /// Returns the events of all steps, in order.
    #[must_use]
    pub fn into_events(self) -> Vec<A::Event> {
        self.events
    }
}
