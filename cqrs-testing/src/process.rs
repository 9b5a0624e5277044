//! Processes as sentences: given these events, when this happens, then that is to be done.

use std::collections::BTreeMap;
use std::time::Duration;

use cqrs_core::process::testing;
use cqrs_core::{
    Command, Effects, EventId, Metadata, Position, ProcessManager, Recorded, StreamName, Timestamp,
    Version, event::Uuid,
};

use crate::aggregate::fail;

/// A process to which nothing has happened.
///
/// ```
/// # use cqrs_core::{*, aggregate::*, app::*, event::*, process::*, projection::*, repository::*, store::*, subscription::*, upcast::*};
/// # use cqrs_testing::given_process;
/// # use std::time::Duration;
/// # #[derive(Default)] struct Shop;
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Ship { order: String }
/// # #[derive(Debug, thiserror::Error, PartialEq)] #[error("sold out")] struct SoldOut;
/// # impl Command for Ship { type Aggregate = Shop; fn aggregate_id(&self) -> String { self.order.clone() } }
/// # struct Paid { order: String }
/// # impl Event for Paid {
/// #     const TYPES: &'static [EventType] = &[EventType::new("shop.paid", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(&self.order) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(Self { order: p.decode()? }) }
/// # }
/// # impl Aggregate for Shop {
/// #     const CATEGORY: &'static str = "shop";
/// #     type Id = String; type Command = Ship; type Event = Paid; type Error = SoldOut;
/// #     fn execute(&self, _: Ship) -> Result<Vec<Paid>, SoldOut> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Paid) {}
/// # }
/// # struct Delivery;
/// # impl ProcessManager for Delivery {
/// #     type Event = Paid; type State = String;
/// #     const NAME: &'static str = "delivery";
/// #     fn destinations(&self) -> Destinations { Destinations::new().to::<Shop>() }
/// #     fn route(&self, event: &Recorded<Paid>) -> Vec<Route> { vec![Route::start_or_continue(&event.event.order)] }
/// #     fn apply(&self, order: &mut String, event: &Recorded<Paid>) { *order = event.event.order.clone(); }
/// #     fn react(&self, order: &String, _: &Recorded<Paid>) -> Effects {
/// #         Effects::new().dispatch(Ship { order: order.clone() }).start_timer("late", Duration::from_secs(60))
/// #     }
/// #     fn on_rejected(&self, _: &mut String, _: &RejectedCommand) -> Effects { Effects::new().end() }
/// # }
/// let ship = || Ship { order: "7".into() };
/// given_process(Delivery)
///     .when(Paid { order: "7".into() })
///     .then(Effects::new().dispatch(ship()).start_timer("late", Duration::from_secs(60)))
///     .when_rejected("7", ship(), SoldOut)
///     .then(Effects::new().end());
/// ```
pub fn given_process<M: ProcessManager>(manager: M) -> GivenProcess<M> {
    let now = Timestamp::UNIX_EPOCH;
    GivenProcess { manager, states: BTreeMap::new(), events: 0, now, effects: Effects::new() }
}

/// A process under test; see [`given_process`].
#[derive(Debug)]
pub struct GivenProcess<M: ProcessManager> {
    manager: M,
    states: BTreeMap<String, M::State>,
    events: u64,
    now: Timestamp,
    effects: Effects,
}

impl<M: ProcessManager> GivenProcess<M> {
    /// Events that have happened; what was to be done about them is done.
    #[must_use]
    #[track_caller]
    pub fn given(mut self, events: impl IntoIterator<Item = M::Event>) -> Self {
        for event in events {
            self = self.when(event);
        }
        self.effects = Effects::new();
        self
    }

    /// An event happens. Where it concerns several instances, their effects are joined in order.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when(mut self, event: M::Event) -> Self {
        self.events += 1;
        let recorded = self.recorded(event);
        self.effects = Effects::new();
        for route in self.manager.route(&recorded) {
            let (id, kind) = testing::routed(route);
            let is_ignored_if_new =
                matches!(kind, testing::RouteKind::ContinueIfStarted | testing::RouteKind::End);
            if is_ignored_if_new && !self.states.contains_key(&id) {
                continue;
            }
            let state = self.states.entry(id).or_default();
            self.manager.apply(state, &recorded);
            let effects = self.manager.react(state, &recorded);
            self.effects = std::mem::take(&mut self.effects).and_all(effects);
        }
        self
    }

    /// A command of an instance is refused.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when_rejected<C: Command>(
        mut self,
        instance: &str,
        command: C,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let rejected = match testing::rejected(command, error, self.now) {
            Ok(rejected) => rejected,
            Err(error) => panic!("the command cannot be stored: {error}"),
        };
        let state = self.states.entry(instance.to_owned()).or_default();
        self.effects = self.manager.on_rejected(state, &rejected);
        self
    }

    /// Time passes.
    #[must_use]
    pub fn after(mut self, duration: Duration) -> Self {
        self.now = self.now.plus(duration);
        self
    }

    /// A timer of an instance goes off.
    #[must_use = "nothing is tested before `then`"]
    pub fn when_timer(mut self, instance: &str, name: &str) -> Self {
        let timeout = testing::timeout(name, self.now, self.now);
        let state = self.states.entry(instance.to_owned()).or_default();
        self.effects = self.manager.on_timeout(state, &timeout);
        self
    }

    /// This is to be done, in this order.
    #[track_caller]
    pub fn then(self, expected: Effects) -> Self {
        if self.effects != expected {
            fail(&expected, &self.effects);
        }
        self
    }

    /// Nothing is to be done.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.then(Effects::new())
    }

    /// Looks at the state of an instance; `None` when it has not begun.
    #[track_caller]
    pub fn then_state(self, instance: &str, look: impl FnOnce(Option<&M::State>)) -> Self {
        look(self.states.get(instance));
        self
    }

    #[track_caller]
    fn recorded(&self, event: M::Event) -> Recorded<M::Event> {
        let stream = match StreamName::new("given-1") {
            Ok(stream) => stream,
            Err(error) => panic!("{error}"),
        };
        let (version, position) = (Version::new(self.events), Position::new(self.events));
        let id = EventId::from(Uuid::from_u128(u128::from(self.events)));
        let metadata = Metadata::default().into();
        let event = crate::aggregate::stored(event);
        Recorded::new(stream, version, position, id, self.now, metadata, event)
    }
}
