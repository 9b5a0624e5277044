//! Given these events, when this happens, then a process returns these effects.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use cqrs_core::process::{RejectedCommand, testing};
use cqrs_core::{Command, Effects, ProcessManager, event::PayloadError};

use crate::aggregate::fail;
use crate::recorded::{Recorder, STREAM};

/// Starts a test of a process manager without instances. It needs neither a runtime nor a store.
///
/// ```
/// use std::time::Duration;
///
/// # use cqrs::{Aggregate, Command, Event, aggregate};
/// use cqrs::{Effects, ProcessManager, Recorded};
/// use cqrs::process::{Destinations, RejectedCommand, Route, Timeout};
/// use cqrs_testing::given_process;
/// # use serde::{Deserialize, Serialize};
/// #
/// # #[derive(Clone, Serialize, Deserialize, Command)]
/// # #[command(aggregate = Shipment, id = order)]
/// # struct Ship { order: String }
/// # #[derive(Event)]
/// # #[event(name = "shipment.shipped")]
/// # struct Shipped {}
/// # #[derive(Debug, PartialEq, thiserror::Error)]
/// # #[error("sold out")]
/// # struct SoldOut;
/// # #[derive(Default)]
/// # struct Shipment;
/// # #[aggregate(category = "shipment", id = String)]
/// # impl Aggregate for Shipment {
/// #     fn execute(&self, _: Ship) -> Result<Vec<Shipped>, SoldOut> { Ok(vec![Shipped {}]) }
/// #     fn apply(&mut self, _: &Shipped) {}
/// # }
///
/// #[derive(Event)]
/// #[event(name = "order.paid")]
/// struct Paid { order: String }
///
/// struct Delivery;
///
/// impl ProcessManager for Delivery {
///     type Event = Paid;
///     type State = String;
///     const NAME: &'static str = "delivery";
///
///     fn destinations(&self) -> Destinations {
///         Destinations::new().to::<Shipment>()
///     }
///
///     fn route(&self, event: &Recorded<Paid>) -> Vec<Route> {
///         vec![Route::start(&event.event.order)]
///     }
///
///     fn apply(&self, shop: &mut String, event: &Recorded<Paid>) {
///         *shop = event.stream.category().to_owned();
///     }
///
///     fn react(&self, _: &String, event: &Recorded<Paid>) -> Effects {
///         Effects::new()
///             .dispatch(Ship { order: event.event.order.clone() })
///             .start_timer("late", Duration::from_secs(60))
///     }
///
///     fn on_rejected(&self, _: &mut String, rejected: &RejectedCommand) -> Effects {
///         match rejected.error() {
///             Some(SoldOut) => Effects::new().end(),
///             None => Effects::new().suspend(rejected.reason()),
///         }
///     }
///
///     fn on_timeout(&self, _: &mut String, _: &Timeout) -> Effects {
///         Effects::new().revoke_commands::<Shipment>()
///     }
/// }
///
/// let paid = || Paid { order: "7".into() };
/// let ship = || Ship { order: "7".into() };
///
/// given_process(Delivery)
///     .when_in("bookshop-3", paid())
///     .then(Effects::new().dispatch(ship()).start_timer("late", Duration::from_secs(60)))
///     .then_state("7", |shop| assert_eq!(shop.unwrap(), "bookshop"))
///     .when_rejected("7", ship(), SoldOut)
///     .then(Effects::new().end());
/// given_process(Delivery)
///     .given([paid()])
///     .when_denied("7", ship(), "not in this country")
///     .then(Effects::new().suspend("denied: not in this country"));
/// given_process(Delivery)
///     .given([paid()])
///     .after(Duration::from_secs(60))
///     .when_timer("7", "late")
///     .then(Effects::new().revoke_commands::<Shipment>())
///     .when_revoked("7", ship())
///     .then(Effects::new().suspend("revoked"));
/// ```
pub fn given_process<M: ProcessManager>(manager: M) -> GivenProcess<M> {
    let (states, effects) = (BTreeMap::new(), Effects::new());
    GivenProcess { manager, states, recorder: Recorder::new(), effects }
}

/// A process under test; see [`given_process`].
#[derive(Debug)]
pub struct GivenProcess<M: ProcessManager> {
    manager: M,
    states: BTreeMap<String, M::State>,
    recorder: Recorder,
    effects: Effects,
}

impl<M: ProcessManager> GivenProcess<M> {
    /// Processes events whose effects the test does not check.
    #[must_use]
    #[track_caller]
    pub fn given(self, events: impl IntoIterator<Item = M::Event>) -> Self {
        self.given_in(STREAM, events)
    }

    /// Like [`given`](Self::given), for events in a stream.
    ///
    /// # Panics
    /// Panics if the name of the stream is invalid.
    #[must_use]
    #[track_caller]
    pub fn given_in(
        mut self,
        stream: impl Display,
        events: impl IntoIterator<Item = M::Event>,
    ) -> Self {
        for event in events {
            self = self.when_in(&stream, event);
        }
        self.effects = Effects::new();
        self
    }

    /// Processes an event. If it is routed to several instances, their effects are joined in the
    /// order of the routes.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when(self, event: M::Event) -> Self {
        self.when_in(STREAM, event)
    }

    /// Like [`when`](Self::when), for an event in a stream.
    ///
    /// # Panics
    /// Panics if the name of the stream is invalid.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when_in(mut self, stream: impl Display, event: M::Event) -> Self {
        let recorded = self.recorder.record(stream, event);
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

    /// Reports that the aggregate rejected a command of an instance.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when_rejected<C: Command>(
        self,
        instance: &str,
        command: C,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let rejected = testing::rejected(command, error, self.recorder.now);
        self.rejected(instance, rejected)
    }

    /// Reports that a middleware denied a command of an instance.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when_denied<C: Command>(
        self,
        instance: &str,
        command: C,
        reason: impl Into<String>,
    ) -> Self {
        let denied = testing::denied(command, reason, self.recorder.now);
        self.rejected(instance, denied)
    }

    /// Reports that a command of an instance was revoked; see [`Effects::revoke_commands`].
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when_revoked<C: Command>(self, instance: &str, command: C) -> Self {
        let revoked = testing::revoked(command, self.recorder.now);
        self.rejected(instance, revoked)
    }

    #[track_caller]
    fn rejected(mut self, instance: &str, rejected: Result<RejectedCommand, PayloadError>) -> Self {
        let rejected = match rejected {
            Ok(rejected) => rejected,
            Err(error) => panic!("the command cannot be stored: {error}"),
        };
        let state = self.states.entry(instance.to_owned()).or_default();
        self.effects = self.manager.on_rejected(state, &rejected);
        self
    }

    /// Moves the time of later events, rejections and timers forward.
    #[must_use]
    pub fn after(mut self, duration: Duration) -> Self {
        self.recorder.now = self.recorder.now.plus(duration);
        self
    }

    /// Fires a timer of an instance, whether the instance started it or not.
    #[must_use = "nothing is tested before `then`"]
    pub fn when_timer(mut self, instance: &str, name: &str) -> Self {
        let now = self.recorder.now;
        let timeout = testing::timeout(name, now, now);
        let state = self.states.entry(instance.to_owned()).or_default();
        self.effects = self.manager.on_timeout(state, &timeout);
        self
    }

    /// Asserts that the last step returned exactly these effects, in this order.
    #[track_caller]
    pub fn then(self, expected: Effects) -> Self {
        if self.effects != expected {
            fail(&expected, &self.effects);
        }
        self
    }

    /// Asserts that the last step returned no effects.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.then(Effects::new())
    }

    /// Passes the state of an instance to a function, which can assert on it; `None` if the
    /// instance has not started.
    #[track_caller]
    pub fn then_state(self, instance: &str, look: impl FnOnce(Option<&M::State>)) -> Self {
        look(self.states.get(instance));
        self
    }
}
