//! Given these events, when this command, then those events.

use std::fmt::Debug;

use cqrs_core::{
    Aggregate, Event,
    aggregate::{Reservations, UniqueKey},
    app::CommandOf,
    event::Payload,
};
use similar::{ChangeTag, TextDiff};

/// An aggregate with a history; see [`given`].
#[derive(Debug)]
#[must_use = "nothing is tested before `then`"]
pub struct Given<A> {
    state: A,
}

/// The result of a command; see [`given`].
#[derive(Debug)]
pub struct Then<A: Aggregate> {
    state: A,
    decided: Result<Vec<A::Event>, A::Error>,
    reservations: Reservations,
}

/// Starts a test with an aggregate that has these events.
///
/// Each event and command is encoded and decoded, so a test fails if one cannot be stored. A test
/// needs neither a runtime nor a store.
///
/// ```
/// use cqrs::{Aggregate, Command, Event, aggregate};
/// use cqrs_testing::{given, given_nothing};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Jar, id = jar)]
/// enum JarCommand { Fill { jar: String, ml: u32 }, Take { jar: String, ml: u32 } }
///
/// #[derive(Debug, PartialEq, Event)]
/// enum JarEvent {
///     #[event(name = "jar.filled")]
///     Filled { ml: u32 },
///     #[event(name = "jar.taken")]
///     Taken { ml: u32 },
/// }
///
/// #[derive(Debug, PartialEq, thiserror::Error)]
/// #[error("only {0} ml left")]
/// struct NotEnough(u32);
///
/// #[derive(Default)]
/// struct Jar(u32);
///
/// #[aggregate(category = "jar", id = String)]
/// impl Aggregate for Jar {
///     fn execute(&self, command: JarCommand) -> Result<Vec<JarEvent>, NotEnough> {
///         match command {
///             JarCommand::Fill { ml, .. } => Ok(vec![JarEvent::Filled { ml }]),
///             JarCommand::Take { ml, .. } if ml > self.0 => Err(NotEnough(self.0)),
///             JarCommand::Take { ml, .. } => Ok(vec![JarEvent::Taken { ml }]),
///         }
///     }
///
///     fn apply(&mut self, event: &JarEvent) {
///         match event {
///             JarEvent::Filled { ml } => self.0 += ml,
///             JarEvent::Taken { ml } => self.0 -= ml,
///         }
///     }
/// }
///
/// let take = |ml| JarCommand::Take { jar: "honey".into(), ml };
/// let fill = |ml| JarCommand::Fill { jar: "honey".into(), ml };
///
/// given::<Jar>([JarEvent::Filled { ml: 5 }]).when(take(3)).then([JarEvent::Taken { ml: 3 }]);
/// given::<Jar>([JarEvent::Filled { ml: 5 }]).when(take(6)).then_error(NotEnough(5));
/// given_nothing::<Jar>()
///     .when(fill(5))
///     .and_when(take(3))
///     .and_when(take(3))
///     .then_error(NotEnough(2))
///     .then_state(|jar| assert_eq!(jar.0, 2));
/// ```
///
/// # Panics
/// Panics if an event cannot be stored or read back.
#[track_caller]
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given { state: A::replay(&events.into_iter().map(stored).collect::<Vec<_>>()) }
}

/// Starts a test with an aggregate that has no events; see [`given`].
pub fn given_nothing<A: Aggregate>() -> Given<A> {
    Given { state: A::default() }
}

impl<A: Aggregate> Given<A> {
    /// Executes a command.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when(self, command: impl CommandOf<A>) -> Then<A> {
        let Self { mut state } = self;
        let decided = state
            .execute(through_json(command.into_command()))
            .map(|events| events.into_iter().map(stored).collect::<Vec<_>>());
        let reservations = match &decided {
            Ok(events) => state.reservations(events),
            Err(_) => Reservations::none(),
        };
        for event in decided.iter().flatten() {
            state.apply(event);
        }
        Then { state, decided, reservations }
    }

    /// Passes the state after the given events to a function, which can assert on it.
    #[track_caller]
    pub fn then_state(self, look: impl FnOnce(&A)) {
        look(&self.state);
    }
}

impl<A: Aggregate> Then<A>
where
    A::Event: Debug,
    A::Error: Debug,
{
    /// Asserts that the command was accepted with exactly these events, in this order.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) -> Self
    where
        A::Event: PartialEq,
    {
        let expected: Vec<_> = expected.into_iter().collect();
        match &self.decided {
            Ok(events) if *events == expected => self,
            Ok(events) => fail(&expected, events),
            Err(error) => fail(&expected, &Rejected(error)),
        }
    }

    /// Asserts that the command was accepted without events.
    #[track_caller]
    pub fn then_nothing(self) -> Self
    where
        A::Event: PartialEq,
    {
        self.then([])
    }

    /// Asserts that the command was rejected with this error.
    #[track_caller]
    pub fn then_error(self, expected: A::Error) -> Self
    where
        A::Error: PartialEq,
    {
        match &self.decided {
            Err(error) if *error == expected => self,
            Err(error) => fail(&Rejected(&expected), &Rejected(error)),
            Ok(events) => fail(&Rejected(&expected), events),
        }
    }

    /// Asserts that the command reserves exactly these unique keys, in this order; see
    /// [`Aggregate::reservations`].
    ///
    /// ```
    /// use cqrs::{Aggregate, Command, Event, aggregate, aggregate::{Reservations, UniqueKey}};
    /// use cqrs_testing::given;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Serialize, Deserialize, Command)]
    /// #[command(aggregate = User, id = user)]
    /// struct ChangeEmail { user: String, email: String }
    ///
    /// #[derive(Debug, PartialEq, Event)]
    /// #[event(name = "user.email-changed")]
    /// struct EmailChanged { email: String }
    ///
    /// #[derive(Default)]
    /// struct User { email: Option<String> }
    ///
    /// #[aggregate(category = "user", id = String)]
    /// impl Aggregate for User {
    ///     fn execute(&self, command: ChangeEmail) -> Result<Vec<EmailChanged>, std::convert::Infallible> {
    ///         Ok(vec![EmailChanged { email: command.email }])
    ///     }
    ///
    ///     fn apply(&mut self, event: &EmailChanged) {
    ///         self.email = Some(event.email.clone());
    ///     }
    ///
    ///     fn reservations(&self, events: &[EmailChanged]) -> Reservations {
    ///         let old = self.email.iter().map(|email| UniqueKey::new("e-mail", email));
    ///         let all = old.fold(Reservations::none(), Reservations::release);
    ///         let new = events.iter().map(|event| UniqueKey::new("e-mail", &event.email));
    ///         new.fold(all, Reservations::reserve)
    ///     }
    /// }
    ///
    /// let email = |email: &str| UniqueKey::new("e-mail", email);
    /// given::<User>([EmailChanged { email: "a@example.com".into() }])
    ///     .when(ChangeEmail { user: "alice".into(), email: "b@example.com".into() })
    ///     .then_releases([email("a@example.com")])
    ///     .then_reserves([email("b@example.com")]);
    /// ```
    #[track_caller]
    pub fn then_reserves(self, expected: impl IntoIterator<Item = UniqueKey>) -> Self {
        let expected: Vec<_> = expected.into_iter().collect();
        let reserved: Vec<_> = self.accepted().reserved().cloned().collect();
        if reserved != expected {
            fail(&expected, &reserved);
        }
        self
    }

    /// Asserts that the command releases exactly these unique keys, in this order; see
    /// [`then_reserves`](Self::then_reserves).
    #[track_caller]
    pub fn then_releases(self, expected: impl IntoIterator<Item = UniqueKey>) -> Self {
        let expected: Vec<_> = expected.into_iter().collect();
        let released: Vec<_> = self.accepted().released().cloned().collect();
        if released != expected {
            fail(&expected, &released);
        }
        self
    }

    /// Passes the state after the command to a function, which can assert on it. A rejected
    /// command leaves the state unchanged.
    #[track_caller]
    pub fn then_state(self, look: impl FnOnce(&A)) -> Self {
        look(&self.state);
        self
    }

    /// Executes another command. The one before must have been accepted.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn and_when(self, command: impl CommandOf<A>) -> Self {
        self.accepted();
        Given { state: self.state }.when(command)
    }

    #[track_caller]
    fn accepted(&self) -> &Reservations {
        match &self.decided {
            Ok(_) => &self.reservations,
            Err(error) => panic!("the command was rejected: {error:?}"),
        }
    }
}

/// Shows a rejection in a diff.
struct Rejected<E>(E);

impl<E: Debug> Debug for Rejected<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rejected").field(&self.0).finish()
    }
}

#[track_caller]
pub(crate) fn fail(expected: &dyn Debug, got: &dyn Debug) -> ! {
    let (expected, got) = (format!("{expected:#?}\n"), format!("{got:#?}\n"));
    let mut shown = String::from("\n- expected\n+ got\n\n");
    for change in TextDiff::from_lines(&expected, &got).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        shown.push_str(&format!("{sign} {change}"));
    }
    panic!("{shown}");
}

/// Returns an event as it is read back from the log.
#[track_caller]
pub(crate) fn stored<E: Event>(event: E) -> E {
    let kind = event.event_type();
    let payload = match event.encode() {
        Ok(payload) => payload,
        Err(error) => panic!("{kind} cannot be stored: {error:?}"),
    };
    match E::decode(kind.name(), &payload) {
        Ok(event) => event,
        Err(error) => panic!("{kind} cannot be read back: {error:?}\nstored: {payload:?}"),
    }
}

/// Returns a command as it is read back after a process or a scheduler stored it.
#[track_caller]
fn through_json<C: serde::Serialize + serde::de::DeserializeOwned>(command: C) -> C {
    match Payload::encode(&command) {
        Ok(json) => match json.decode() {
            Ok(command) => command,
            Err(error) => panic!("the command cannot be read back: {error}\nstored: {json:?}"),
        },
        Err(error) => panic!("the command cannot be stored: {error:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cqrs_core::{
        Command,
        event::{DecodeFailure, EventType, PayloadError},
    };
    use serde::{Deserialize, Serialize};

    #[derive(Default, Debug, PartialEq)]
    struct Lamp {
        on: bool,
    }
    #[derive(Clone, Serialize, Deserialize)]
    struct Turn {
        on: bool,
        odd: bool,
    }
    #[derive(Debug, PartialEq)]
    enum Turned {
        To(bool),
        Odd(f64),
    }
    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("it is {0} already")]
    struct Already(bool);

    impl Command for Turn {
        type Aggregate = Lamp;
        fn aggregate_id(&self) -> u8 {
            1
        }
    }
    impl Event for Turned {
        const TYPES: &'static [EventType] = &[EventType::new("lamp.turned", 1)];
        fn event_type(&self) -> EventType {
            Self::TYPES[0]
        }
        fn encode(&self) -> Result<Payload, PayloadError> {
            match self {
                Self::To(on) => Payload::encode(on),
                Self::Odd(number) => Payload::encode(number),
            }
        }
        fn decode(_: &str, payload: &Payload) -> Result<Self, DecodeFailure> {
            Ok(Self::To(payload.decode()?))
        }
    }
    impl Aggregate for Lamp {
        const CATEGORY: &'static str = "lamp";
        type Id = u8;
        type Command = Turn;
        type Event = Turned;
        type Error = Already;
        fn execute(&self, turn: Turn) -> Result<Vec<Turned>, Already> {
            match turn {
                Turn { odd: true, .. } => Ok(vec![Turned::Odd(1.5)]),
                Turn { on, .. } if on == self.on => Err(Already(on)),
                Turn { on, .. } => Ok(vec![Turned::To(on)]),
            }
        }
        fn apply(&mut self, event: &Turned) {
            if let Turned::To(on) = event {
                self.on = *on;
            }
        }
    }

    const ON: Turn = Turn { on: true, odd: false };
    const OFF: Turn = Turn { on: false, odd: false };

    fn message(test: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(test).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn correct_expectations_pass() {
        given_nothing::<Lamp>()
            .when(ON)
            .then([Turned::To(true)])
            .then_state(|lamp| assert!(lamp.on));
        given::<Lamp>([Turned::To(true)])
            .when(ON)
            .then_error(Already(true))
            .then_state(|l| assert!(l.on));
        given_nothing::<Lamp>().when(ON).and_when(OFF).and_when(ON).then([Turned::To(true)]);
        given::<Lamp>([Turned::To(true)]).then_state(|lamp| assert!(lamp.on));
    }

    #[test]
    fn a_failure_shows_the_expected_and_the_actual_result() {
        let shown = message(|| drop(given_nothing::<Lamp>().when(ON).then([Turned::To(false)])));
        assert!(shown.contains("-         false") && shown.contains("+         true"), "{shown}");
        let shown = message(|| drop(given_nothing::<Lamp>().when(OFF).then_nothing()));
        assert!(shown.contains("+ Rejected(") && shown.contains("Already"), "{shown}");
        let shown = message(|| drop(given_nothing::<Lamp>().when(ON).then_error(Already(true))));
        assert!(shown.contains("- Rejected("), "{shown}");
        let shown = message(|| drop(given_nothing::<Lamp>().when(OFF).and_when(ON)));
        assert!(shown.contains("rejected: Already(false)"), "{shown}");
    }

    #[test]
    fn an_event_that_cannot_be_read_back_fails_the_test() {
        let odd = Turn { on: true, odd: true };
        let shown = message(|| drop(given_nothing::<Lamp>().when(odd).then_nothing()));
        assert!(shown.contains("lamp.turned v1 cannot be read back"), "{shown}");
        assert!(shown.contains("1.5"), "{shown}");
    }
}
