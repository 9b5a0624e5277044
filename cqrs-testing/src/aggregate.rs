//! Given these events, when this command, then those events.

use std::fmt::Debug;

use cqrs_core::{Aggregate, Event, event::Payload};
use similar::{ChangeTag, TextDiff};

/// An aggregate with a history.
#[derive(Debug)]
#[must_use = "nothing is tested before `then`"]
pub struct Given<A> {
    state: A,
}

/// What a command led to.
#[derive(Debug)]
pub struct Then<A: Aggregate> {
    state: A,
    decided: Result<Vec<A::Event>, A::Error>,
}

/// An aggregate to which this has happened.
///
/// Every event goes through its stored form and back on the way, so that one which cannot be
/// stored fails the test.
///
/// ```
/// # use cqrs_core::{*, aggregate::*, app::*, event::*, process::*, projection::*, repository::*, store::*, subscription::*, upcast::*};
/// # use serde::{Serialize, Deserialize};
/// # #[derive(Clone, Serialize, Deserialize)] struct Take(u32);
/// # impl Command for Take { type Aggregate = Jar; fn aggregate_id(&self) -> u8 { 1 } }
/// # #[derive(Debug, PartialEq, Serialize, Deserialize)] enum JarEvent { Filled(u32), Taken(u32) }
/// # impl Event for JarEvent {
/// #     const TYPES: &'static [EventType] = &[EventType::new("jar", 1)];
/// #     fn event_type(&self) -> EventType { Self::TYPES[0] }
/// #     fn encode(&self) -> Result<Payload, PayloadError> { Payload::encode(self) }
/// #     fn decode(_: &str, p: &Payload) -> Result<Self, DecodeFailure> { Ok(p.decode()?) }
/// # }
/// # #[derive(Debug, PartialEq)] struct NotEnough;
/// # impl std::fmt::Display for NotEnough { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("not enough") } }
/// # impl std::error::Error for NotEnough {}
/// # #[derive(Default)] struct Jar(u32);
/// # impl Aggregate for Jar {
/// #     const CATEGORY: &'static str = "jar"; type Id = u8; type Command = Take; type Event = JarEvent; type Error = NotEnough;
/// #     fn execute(&self, Take(n): Take) -> Result<Vec<JarEvent>, NotEnough> {
/// #         if n > self.0 { Err(NotEnough) } else { Ok(vec![JarEvent::Taken(n)]) } }
/// #     fn apply(&mut self, event: &JarEvent) { match event { JarEvent::Filled(n) => self.0 += n, JarEvent::Taken(n) => self.0 -= n } }
/// # }
/// use cqrs_testing::given;
///
/// given::<Jar>([JarEvent::Filled(5)]).when(Take(3)).then([JarEvent::Taken(3)]);
/// given::<Jar>([JarEvent::Filled(5)]).when(Take(6)).then_error(NotEnough);
/// given::<Jar>([JarEvent::Filled(5)]).when(Take(3)).and_when(Take(3)).then_error(NotEnough);
/// ```
#[track_caller]
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given { state: A::replay(&events.into_iter().map(stored).collect::<Vec<_>>()) }
}

/// An aggregate to which nothing has happened.
pub fn given_nothing<A: Aggregate>() -> Given<A> {
    Given { state: A::default() }
}

impl<A: Aggregate> Given<A> {
    /// Asks it.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn when(self, command: impl Into<A::Command>) -> Then<A> {
        let Self { mut state } = self;
        let decided = state
            .execute(through_json(command.into()))
            .map(|events| events.into_iter().map(stored).collect::<Vec<_>>());
        for event in decided.iter().flatten() {
            state.apply(event);
        }
        Then { state, decided }
    }

    /// Looks at the state that the events make.
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
    /// It decided these events, in this order.
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

    /// It accepted, with nothing to do.
    #[track_caller]
    pub fn then_nothing(self) -> Self
    where
        A::Event: PartialEq,
    {
        self.then([])
    }

    /// It refused for this reason.
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

    /// Looks at the state after the command: unchanged when it refused.
    #[track_caller]
    pub fn then_state(self, look: impl FnOnce(&A)) -> Self {
        look(&self.state);
        self
    }

    /// Goes on with the next command. The one before must have been accepted.
    #[must_use = "nothing is tested before `then`"]
    #[track_caller]
    pub fn and_when(self, command: impl Into<A::Command>) -> Self {
        match self.decided {
            Ok(_) => Given { state: self.state }.when(command),
            Err(error) => panic!("the command before was refused: {error:?}"),
        }
    }
}

/// A refusal, as it is shown.
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

/// An event as it comes back from the log.
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

/// A command as it comes back from where processes and timers keep it.
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
    fn sentences_that_hold() {
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
    fn failures_show_what_was_expected_and_what_came() {
        let shown = message(|| drop(given_nothing::<Lamp>().when(ON).then([Turned::To(false)])));
        assert!(shown.contains("-         false") && shown.contains("+         true"), "{shown}");
        let shown = message(|| drop(given_nothing::<Lamp>().when(OFF).then_nothing()));
        assert!(shown.contains("+ Rejected(") && shown.contains("Already"), "{shown}");
        let shown = message(|| drop(given_nothing::<Lamp>().when(ON).then_error(Already(true))));
        assert!(shown.contains("- Rejected("), "{shown}");
        let shown = message(|| drop(given_nothing::<Lamp>().when(OFF).and_when(ON)));
        assert!(shown.contains("refused: Already(false)"), "{shown}");
    }

    #[test]
    fn an_event_that_does_not_survive_storing_fails_the_test() {
        let odd = Turn { on: true, odd: true };
        let shown = message(|| drop(given_nothing::<Lamp>().when(odd).then_nothing()));
        assert!(shown.contains("lamp.turned v1 cannot be read back"), "{shown}");
        assert!(shown.contains("1.5"), "{shown}");
    }
}
